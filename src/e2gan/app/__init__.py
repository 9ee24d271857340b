"""The stage `app`: the page of web/ served on one's own machine, with what lies in a folder there."""
