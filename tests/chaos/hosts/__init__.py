"""A Ray cluster on hosts with addresses, disks, clocks and memories of their own, and what can become of such hosts."""
