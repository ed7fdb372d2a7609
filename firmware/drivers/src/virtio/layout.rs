//! Where a virtio device on PCI has its registers: vendor capabilities (Virtual I/O Device 1.2, 4.1.4).

/// Capability identifier: vendor specific.
const VENDOR: u8 = 9;
/// Most capabilities that a list has: they are four bytes or more, in 192 bytes.
const MAX_CAPABILITIES: usize = 48;

/// A part of a BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Which BAR, 0–5.
    pub bar: u8,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// Where everything is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Common configuration.
    pub common: Part,
    /// Notifications.
    pub notify: Part,
    /// Bytes between the notification registers of two queues' offsets.
    pub notify_multiplier: u32,
    /// Interrupt status.
    pub isr: Part,
    /// Configuration of the network device.
    pub device: Part,
}

/// Reads the capability list through `read` (an aligned 32-bit word of configuration space). `None` for a device
/// without the modern interface. Of two capabilities of one kind the first counts, as the standard says.
pub fn find(read: impl Fn(u8) -> u32) -> Option<Layout> {
    // Status register: the device has a list.
    if read(4) >> 20 & 1 == 0 {
        return None;
    }
    let (mut common, mut notify, mut isr, mut device) = (None, None, None, None);
    let mut at = read(0x34) as u8 & !3;
    for _ in 0..MAX_CAPABILITIES {
        if at < 0x40 {
            break;
        }
        let [id, next, length, kind] = read(at).to_le_bytes();
        if id == VENDOR && length >= 16 && at <= 0xf0 {
            let [bar, ..] = read(at + 4).to_le_bytes();
            let part = Part { bar, offset: read(at + 8).into(), length: read(at + 12).into() };
            if bar < 6 {
                match kind {
                    1 => common = common.or(Some(part)),
                    2 if length >= 20 && at <= 0xec => notify = notify.or(Some((part, read(at + 16)))),
                    3 => isr = isr.or(Some(part)),
                    4 => device = device.or(Some(part)),
                    // Access through configuration space, shared memory, vendors' own: not needed.
                    _other => {}
                }
            }
        }
        at = next & !3;
    }
    let (notify, notify_multiplier) = notify?;
    Some(Layout { common: common?, notify, notify_multiplier, isr: isr?, device: device? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(capabilities: &[(u8, [u8; 20])]) -> [u8; 256] {
        let mut space = [0; 256];
        space[6] = 0x10;
        space[0x34] = capabilities.first().map_or(0, |(at, _)| *at);
        for (index, (at, bytes)) in capabilities.iter().enumerate() {
            let at = usize::from(*at);
            space[at..at + 20].copy_from_slice(bytes);
            space[at + 1] = capabilities.get(index + 1).map_or(0, |(next, _)| *next);
        }
        space
    }

    fn reader(space: [u8; 256]) -> impl Fn(u8) -> u32 {
        move |at| {
            let at = usize::from(at);
            u32::from_le_bytes(space[at..at + 4].try_into().expect("in space"))
        }
    }

    fn capability(kind: u8, bar: u8, offset: u8) -> [u8; 20] {
        [9, 0, 20, kind, bar, 0, 0, 0, 0, offset, 0, 0, 0x38, 0, 0, 0, 4, 0, 0, 0]
    }

    fn part(bar: u8, offset: u64) -> Part {
        Part { bar, offset: offset << 8, length: 0x38 }
    }

    #[test]
    fn the_first_capability_of_each_kind_is_taken() {
        let list = [
            (0x40, capability(1, 4, 1)),
            (0x58, capability(3, 4, 2)),
            (0x70, capability(4, 4, 3)),
            (0x88, capability(2, 4, 4)),
            (0xa0, capability(1, 2, 9)),
            (0xb8, capability(5, 0, 0)),
        ];
        let layout = find(reader(space(&list))).expect("modern");
        let expected = Layout {
            common: part(4, 1),
            isr: part(4, 2),
            device: part(4, 3),
            notify: part(4, 4),
            notify_multiplier: 4,
        };
        assert_eq!(layout, expected);
    }

    #[test]
    fn a_device_that_lacks_a_part_or_a_list_is_not_modern() {
        let list = [(0x40, capability(1, 4, 1)), (0x58, capability(3, 4, 2))];
        assert_eq!(find(reader(space(&list))), None);
        let mut none = space(&list);
        none[6] = 0;
        assert_eq!(find(reader(none)), None);
    }

    #[test]
    fn lists_that_turn_in_circles_or_point_out_of_bounds_end() {
        let mut circle = space(&[(0x40, capability(1, 4, 1))]);
        circle[0x41] = 0x40;
        assert_eq!(find(reader(circle)), None);
        for at in [0, 4, 0x3c, 0xf4, 0xfc] {
            let mut odd = space(&[]);
            odd[0x34] = at;
            if at >= 0x40 {
                odd[usize::from(at)..usize::from(at) + 4].copy_from_slice(&[9, 0xfc, 20, 2]);
            }
            assert_eq!(find(reader(odd)), None, "{at:#x}");
        }
        assert_eq!(find(reader(space(&[(0x40, capability(1, 6, 1))]))), None);
    }
}
