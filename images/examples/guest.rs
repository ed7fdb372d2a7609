//! Makes the lab's guest: `cargo run -p weft-images --example guest -- target/guest`.

fn main() -> Result<(), weft_images::Error> {
    let work = std::env::args().nth(1).unwrap_or_else(|| "target/guest".to_owned());
    let guest = weft_images::guest::build(std::path::Path::new(&work))?;
    println!("kernel {} {}", guest.kernel_digest, guest.kernel.display());
    println!("initrd {} {}", guest.initrd_digest, guest.initrd.display());
    Ok(())
}
