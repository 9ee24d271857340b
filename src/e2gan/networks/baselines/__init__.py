"""The networks that the paper compares with (Tab. 1, 8, 9); loaded only where one is asked for."""
