//! Makes the peer node: `cargo run -p weft-images --example peer -- target/peer target/guest`.

fn main() -> Result<(), weft_images::Error> {
    let mut arguments = std::env::args().skip(1);
    let work = arguments.next().unwrap_or_else(|| "target/peer".to_owned());
    let guest = arguments.next().unwrap_or_else(|| "target/guest".to_owned());
    let peer = weft_images::peer::build(std::path::Path::new(&work), std::path::Path::new(&guest))?;
    println!("kernel {}", peer.kernel.display());
    println!("initrd {}", peer.initrd.display());
    println!("size {} bytes", peer.size);
    Ok(())
}
