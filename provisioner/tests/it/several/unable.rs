//! Who is chosen and cannot lead says why and ends, so that another is chosen; what starts it again is its unit, here the test.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::service::{Network, three};
use super::{One, PATIENCE, data};

/// One that cannot lead, and what it says of it.
struct Unable {
    place: u8,
    name: &'static str,
    /// By what it is run.
    by: &'static [&'static str],
    /// Mode of its data folder once it runs.
    mode: u32,
    says: &'static str,
}

/// There is no program to put the service address with.
const NO_PROGRAM: Unable = Unable {
    place: 2,
    name: "south",
    by: &["env", "PATH=/nowhere"],
    mode: 0o700,
    says: "weft appliance: cannot put 10.78.0.100/24 on eth0",
};
/// Its folder takes no new file. Root would write there all the same, if it were let.
const NO_FILES: Unable = Unable {
    place: 3,
    name: "east",
    by: &["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"],
    mode: 0o500,
    says: "weft appliance: cannot write to ",
};

fn set_mode(folder: &TempDir, mode: u32) {
    std::fs::set_permissions(data(folder), std::fs::Permissions::from_mode(mode)).expect("a mode");
}

impl Unable {
    fn start(&self, network: &Network, folder: TempDir) -> One {
        set_mode(&folder, 0o700);
        network.run_by(self.place, self.name, folder, self.by)
    }

    /// Closes its folder once it runs; where it was chosen before, it is started again. Whether it has ended, as it should.
    fn has_ended(&self, network: &Network, one: &mut One) -> bool {
        if let Some(status) = one.child.try_wait().expect("it can be asked") {
            let told = !status.success() && one.log().contains(self.says);
            assert!(told, "{}: {status}\n{}", self.name, one.log());
            return true;
        }
        if one.said().contains("leads in term") {
            self.again(network, one);
        } else if one.said().contains("ready\n") {
            set_mode(&one.folder, self.mode);
        }
        false
    }

    fn again(&self, network: &Network, one: &mut One) {
        let folder = std::mem::replace(&mut one.folder, tempfile::tempdir().expect("a folder"));
        one.kill();
        *one = self.start(network, folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_chosen_and_cannot_lead_says_why_and_ends_and_one_that_can_leads() {
    let network = Network::new();
    let (all, ..) = three(&network).await;
    let Ok([mut north, south, east]) = <[One; 3]>::try_from(all) else { panic!("three") };
    let mut south = NO_PROGRAM.start(&network, south.into_folder());
    let mut east = NO_FILES.start(&network, east.into_folder());
    // Of two that cannot, each is chosen at some time.
    north.kill();
    let (mut ended, begun) = ([false; 2], Instant::now());
    while ended != [true; 2] {
        let [of_south, of_east] = &mut ended;
        for (which, one, seen) in [(&NO_PROGRAM, &mut south, of_south), (&NO_FILES, &mut east, of_east)] {
            if which.has_ended(&network, one) {
                *seen = true;
                eprintln!("{} has ended after {} s", which.name, begun.elapsed().as_secs());
                which.again(&network, one);
            }
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "{ended:?}\n{}\n{}", south.log(), east.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One that can is there again: it leads in the end. One more must be there to choose it.
    let north = network.run(1, "north", north.into_folder());
    while !north.said().contains("leads in term") {
        let south_ended = NO_PROGRAM.has_ended(&network, &mut south);
        if NO_FILES.has_ended(&network, &mut east) && south_ended {
            NO_PROGRAM.again(&network, &mut south);
        }
        assert!(begun.elapsed() < 4 * PATIENCE, "{}\n{}\n{}", north.log(), south.log(), east.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("north leads after {} s", begun.elapsed().as_secs());
    assert_eq!(network.holders(), [1]);
    set_mode(&east.folder, 0o700);
}
