const express = require("express");

const app = express();
app.get("/", (request, response) => response.type("text/plain").send("Hello from Express on Roost\n"));
app.listen(process.env.PORT || 3000, "0.0.0.0");
