//! What the `virtio-drivers` crate asks of a platform: DMA memory, addresses, PCI configuration.

use crate::pci::Address;
use crate::{frames, phys};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};
use weft_types::Hpa;

static IMAGE_BASE: AtomicU64 = AtomicU64::new(0);

/// Says where the DVMM's image lies, so that addresses of its statics can be translated.
pub fn init(image_base: Hpa) {
    IMAGE_BASE.store(image_base.0, Ordering::Relaxed);
}

/// The platform of virtio drivers.
pub struct VirtioHal;

// SAFETY: DMA pages are fresh frame runs (rule F), the physical map makes their pointers valid and aligned,
// and `share` translates addresses of the monitor's own memory, which is physically contiguous within heap
// blocks, stacks and the image.
unsafe impl Hal for VirtioHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match frames::alloc_run(pages as u64, 1, 1 << 32) {
            Some(run) => (run.0, NonNull::new(phys::pointer(run)).unwrap_or(NonNull::dangling())),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(address: PhysAddr, _pointer: NonNull<u8>, pages: usize) -> i32 {
        frames::free(Hpa(address), pages as u64);
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(phys::pointer(Hpa(address))).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        phys::address_of(buffer.as_ptr().cast(), Hpa(IMAGE_BASE.load(Ordering::Relaxed))).0
    }

    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

/// PCI configuration for virtio's PCI transport.
pub struct PciConfig;

fn address(function: DeviceFunction) -> Address {
    Address { bus: function.bus, device: function.device, function: function.function }
}

impl ConfigurationAccess for PciConfig {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        address(function).read(offset)
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, data: u32) {
        address(function).write(offset, data);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}
