//! Makes the stress guest: `cargo run -p weft-images --example stress -- target/stress target/guest`.

fn main() -> Result<(), weft_images::Error> {
    let mut arguments = std::env::args().skip(1);
    let work = arguments.next().unwrap_or_else(|| "target/stress".to_owned());
    let guest = arguments.next().unwrap_or_else(|| "target/guest".to_owned());
    let made = weft_images::stress::build(std::path::Path::new(&work), std::path::Path::new(&guest))?;
    println!("kernel {} {}", made.kernel_digest, made.kernel.display());
    println!("initrd {} {}", made.initrd_digest, made.initrd.display());
    Ok(())
}
