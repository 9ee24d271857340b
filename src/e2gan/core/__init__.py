"""What every part stands on: errors, files, images, plots, the device, progress."""
