//! The virtual machine: exits, interrupts, clock, devices, guest loading; pure, no hardware
