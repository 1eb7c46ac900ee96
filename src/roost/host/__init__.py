"""What one Linux server can do: disks, cgroups, networks, machines and their logs. No policy."""
