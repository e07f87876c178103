"""Imported by the fork server."""

import crash_driver

crash_driver.warm_up()
