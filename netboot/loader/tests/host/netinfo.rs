use weft_loader::netinfo::{dhcp_server, path_has_uart, path_http_server, path_mac};

fn packet(siaddr: [u8; 4], options: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 236];
    packet[20..24].copy_from_slice(&siaddr);
    packet.extend([99, 130, 83, 99]);
    packet.extend(options);
    packet
}

#[test]
fn the_next_server_comes_before_the_server_identifier() {
    let options = [0, 53, 1, 5, 54, 4, 10, 0, 0, 9, 255];
    assert_eq!(dhcp_server(&packet([10, 0, 0, 1], &options)), Some([10, 0, 0, 1]));
    assert_eq!(dhcp_server(&packet([0; 4], &options)), Some([10, 0, 0, 9]));
}

#[test]
fn broken_dhcp_packets_name_no_server() {
    assert_eq!(dhcp_server(&[]), None);
    assert_eq!(dhcp_server(&[1; 240]), None, "no cookie");
    for options in
        [&[54, 4, 10, 0][..], &[54], &[53, 200, 1], &[255, 54, 4, 1, 2, 3, 4], &[54, 3, 1, 2, 3, 255]]
    {
        assert_eq!(dhcp_server(&packet([0; 4], options)), None, "{options:?}");
    }
}

fn node(kind: u8, subtype: u8, data: &[u8]) -> Vec<u8> {
    let mut node = vec![kind, subtype];
    node.extend((data.len() as u16 + 4).to_le_bytes());
    node.extend(data);
    node
}

#[test]
fn a_device_path_gives_mac_and_http_server() {
    let mut mac = vec![2, 0, 0, 0, 0, 7];
    mac.resize(33, 0);
    let path = |uri: &[u8]| {
        let nodes = [node(1, 1, &[0, 2]), node(3, 11, &mac), node(3, 24, uri), node(0x7f, 0xff, &[])];
        nodes.concat()
    };
    let good = path(b"http://10.7.0.1:8080/weft.efi");
    assert_eq!(path_mac(&good), Some([2, 0, 0, 0, 0, 7]));
    assert_eq!(path_http_server(&good), Some([10, 7, 0, 1]));
    assert!(!path_has_uart(&good));
    assert_eq!(path_http_server(&path(b"http://boot.example/weft.efi")), None);
    assert_eq!(path_http_server(&path(&[0xff])), None);
}

#[test]
fn a_serial_console_is_seen_behind_another_instance() {
    let path =
        [node(2, 1, &[0; 8]), node(0x7f, 1, &[]), node(3, 14, &[0; 15]), node(0x7f, 0xff, &[])].concat();
    assert!(path_has_uart(&path));
}

#[test]
fn broken_device_paths_end_the_search() {
    for path in [&[][..], &[3, 11], &[3, 11, 0, 0, 1], &[3, 11, 200, 0, 1, 2], &[3, 11, 6, 0, 1, 2]] {
        assert_eq!(path_mac(path), None, "{path:?}");
    }
}
