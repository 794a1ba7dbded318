"""All samples in the memory of the device."""
