//! Which processors a guest's vCPUs are to have: checked when it is loaded, and changed while it runs.

use super::{Guest, Vcpu};
use crate::schedule;
use alloc::string::String;
use alloc::vec::Vec;
use weft_hal::cpu;

/// The processor that each vCPU is to have here, and the one that it has.
type Homes = (Vec<Option<usize>>, Vec<Option<usize>>);

/// Gives the vCPUs that are here their processors.
pub(super) fn homes(
    affinity: &[Option<usize>],
    vcpus: usize,
    is_local: &dyn Fn(usize) -> bool,
) -> Result<Homes, String> {
    let pin = |vcpu: usize| affinity.get(vcpu).copied().flatten().filter(|_| is_local(vcpu));
    let pins: Vec<_> = (0..vcpus).map(pin).collect();
    check(&pins)?;
    let here: Vec<_> = (0..vcpus).filter(|vcpu| is_local(*vcpu)).collect();
    let wanted: Vec<_> = here.iter().map(|vcpu| pins[*vcpu]).collect();
    let mut homes = alloc::vec![None; vcpus];
    for (vcpu, home) in here.into_iter().zip(schedule::place(&wanted)) {
        homes[vcpu] = Some(home);
    }
    Ok((pins, homes))
}

/// Whether this node has the processors that vCPUs are to have.
fn check(pins: &[Option<usize>]) -> Result<(), String> {
    let count = schedule::cpu_count();
    match pins
        .iter()
        .enumerate()
        .find_map(|(vcpu, pin)| pin.filter(|pin| *pin >= count).map(|pin| (vcpu, pin)))
    {
        None => Ok(()),
        Some((vcpu, pin)) => Err(alloc::format!(
            "virtual processor {vcpu} is to run on processor {pin}, and this node has {count}, counted from 0"
        )),
    }
}

impl Guest {
    /// Gives vCPUs another affinity while they run: each goes to its processor when the one that has it next comes to it.
    /// Of vCPUs that started on other nodes it counts only that they are to be there.
    pub(crate) fn pin(&self, affinity: &[Option<usize>]) -> Result<(), String> {
        let starts_here = |vcpu: usize| match (self.member(), &self.origins) {
            (Some(member), Some(origins)) => origins.get(vcpu) == Some(&member.me()),
            _ => self.processors.home(vcpu).is_some(),
        };
        let pins: Vec<_> = (0..self.vcpus.len())
            .map(|vcpu| affinity.get(vcpu).copied().flatten().filter(|_| starts_here(vcpu)))
            .collect();
        check(&pins)?;
        for (vcpu, pin) in pins.into_iter().enumerate() {
            self.processors.set_pin(vcpu, pin);
        }
        self.processors.set_stays(affinity);
        Ok(())
    }

    /// Whether a vCPU, which its processor has come to, is another processor's from now on.
    pub(super) fn is_pinned_elsewhere(&self, index: usize, vcpu: &mut Vcpu) -> bool {
        let Some(pin) = self.processors.pin(index).filter(|pin| *pin != cpu::index()) else { return false };
        vcpu.hardware.unload();
        // What this processor has of its translations says nothing of what the other one has.
        vcpu.hardware.flush();
        self.processors.set_home(index, Some(pin));
        schedule::announce();
        true
    }
}
