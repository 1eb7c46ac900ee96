document.querySelector("#hello").textContent += `, on ${location.pathname}`;
