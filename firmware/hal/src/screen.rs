//! The node's own screen: the firmware's linear frame buffer, or the text screen of a BIOS machine. Output only;
//! it goes on at the top when it has reached the bottom, which needs no reading of video memory.

use crate::phys;
use font8x8::legacy::BASIC_LEGACY;
use spin::Mutex;
use weft_types::Hpa;
use weft_types::handoff::{BootPath, FrameBuffer, Handoff};

/// Text buffer of a colour VGA, 80 × 25 cells of character and attribute.
const VGA_TEXT: u64 = 0xb_8000;
const VGA_COLUMNS: usize = 80;
const VGA_ROWS: usize = 25;
const VGA_GREY: u16 = 0x0700;
/// A glyph has 8 × 8 points; each row is drawn twice.
const CELL_WIDTH: usize = 8;
const CELL_HEIGHT: usize = 16;
/// Largest screens that are written to, pixels each way.
const MAX_PIXELS: u32 = 8192;
const INK: u32 = 0x00d0_d0d0;

enum Kind {
    Text,
    Pixels(FrameBuffer),
}

struct Screen {
    kind: Kind,
    columns: usize,
    rows: usize,
    column: usize,
    row: usize,
}

static SCREEN: Mutex<Option<Screen>> = Mutex::new(None);

/// Takes over what the hand-off describes.
pub fn init(handoff: &Handoff) {
    let fb = handoff.screen;
    let within = |pixels: u32| (1..=MAX_PIXELS).contains(&pixels);
    let bytes = u64::from(fb.stride) * u64::from(fb.height) * 4;
    let (kind, columns, rows) = if fb.base != 0 {
        if !within(fb.width) || !within(fb.height) || fb.stride < fb.width || bytes > fb.size {
            return;
        }
        (Kind::Pixels(fb), fb.width as usize / CELL_WIDTH, fb.height as usize / CELL_HEIGHT)
    } else if handoff.boot_path == BootPath::Bios as u32 {
        (Kind::Text, VGA_COLUMNS, VGA_ROWS)
    } else {
        return;
    };
    let mut screen = Screen { kind, columns, rows, column: 0, row: 0 };
    for row in 0..rows {
        screen.clear(row);
    }
    *SCREEN.lock() = Some(screen);
}

/// Prints text. Skipped while another processor prints: the serial console has it all.
pub(crate) fn print(text: &str) {
    if let Some(mut guard) = SCREEN.try_lock()
        && let Some(screen) = guard.as_mut()
    {
        text.bytes().for_each(|byte| screen.put(byte));
    }
}

impl Screen {
    fn put(&mut self, byte: u8) {
        match byte {
            b'\n' => self.next_line(),
            b'\r' => self.column = 0,
            0x20..0x7f => {
                if self.column >= self.columns {
                    self.next_line();
                }
                self.draw(self.row, self.column, byte);
                self.column += 1;
            }
            _unprintable => {}
        }
    }

    fn next_line(&mut self) {
        self.column = 0;
        self.row = (self.row + 1) % self.rows.max(1);
        self.clear(self.row);
    }

    fn clear(&mut self, row: usize) {
        for column in 0..self.columns {
            self.draw(row, column, b' ');
        }
    }

    fn draw(&mut self, row: usize, column: usize, byte: u8) {
        if row >= self.rows || column >= self.columns {
            return;
        }
        match self.kind {
            Kind::Text => {
                let at = phys::pointer(Hpa(VGA_TEXT)).cast::<u16>();
                // SAFETY: row and column are within the 80 × 25 cells of the text buffer, which is device
                // memory in the physical map and nobody else's.
                unsafe { at.add(row * VGA_COLUMNS + column).write_volatile(VGA_GREY | u16::from(byte)) };
            }
            Kind::Pixels(fb) => {
                let glyph = BASIC_LEGACY[usize::from(byte & 0x7f)];
                for y in 0..CELL_HEIGHT {
                    let start = (row * CELL_HEIGHT + y) * fb.stride as usize + column * CELL_WIDTH;
                    for x in 0..CELL_WIDTH {
                        let ink = if glyph[y / 2] >> x & 1 == 1 { INK } else { 0 };
                        let at = phys::pointer(Hpa(fb.base)).cast::<u32>();
                        // SAFETY: `init` checked that rows × stride fits the buffer, and the cell is within
                        // rows and columns; the buffer is device memory and nobody else's.
                        unsafe { at.add(start + x).write_volatile(ink) };
                    }
                }
            }
        }
    }
}
