"""The wiring: settings, clients and capabilities, once per process, a module a function. Nothing else knows AWS and the product both."""
