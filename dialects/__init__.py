"""What other servers' clients send and are answered, read and written: requests into jobs, jobs into answers."""
