"""Exchange with other libraries; each of them is optional and loaded when it is asked for."""
