"""The engine of the module ``ocf_flask_sites``: everything that happens on the machine that has the sites."""
