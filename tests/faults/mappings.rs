//! Mappings that run out. The kernel gives a process so many (`vm.max_map_count`, 65,530) and so many addresses, and
//! engines map memory for each guest and each module.

use cofferdam::policy::Limits;
use cofferdam::{FuelMode, GuestState, engines};

use crate::{NEIGHBOUR, Neighbour, child, sandbox};

/// Guests that are made before it is given up; Wasmi takes them from the allocator, of which there is no such end.
const MOST: usize = 35_000;

#[test]
fn guests_are_refused_by_name_when_the_kernel_maps_no_more() {
    let test = "mappings::guests_are_refused_by_name_when_the_kernel_maps_no_more";
    let Some(name) = child::told() else {
        for name in engines::names() {
            print!("{}", child::succeeds(&mut child::command(test, name)));
        }
        return;
    };
    let engine = engines::by_name(&name).expect("it is in this build");
    let mut neighbour = Neighbour::new(&engine, FuelMode::Portable);
    let sandbox = sandbox(&engine, FuelMode::Portable, Limits::agent());
    let module = sandbox.load(NEIGHBOUR).expect("it is good");
    let mut guests = Vec::with_capacity(MOST);
    let refused = loop {
        if guests.len() == MOST {
            break None;
        }
        match sandbox.guest(&module, GuestState::default()) {
            Ok(guest) => guests.push(guest),
            Err(error) => break Some(error.to_string()),
        }
    };
    println!("{name}: {} guests, then {refused:?}", guests.len());
    assert!(guests.len() > 10_000, "{refused:?}");
    assert!(refused.as_ref().is_none_or(|words| words.len() > 10), "{refused:?}");
    neighbour.goes_on();
    // Nor is there room for the code of one more module; that is an error too, or it fits.
    let other = sandbox.load(br#"(module (func (export "next") (result i32) (i32.const 7)))"#);
    println!("{name}: one more module: {:?}", other.map(drop));
    // The ones that were made work, and go.
    for guest in guests.iter_mut().step_by(1_000) {
        guest.call("next", &[]).into_result().unwrap_or_else(|e| panic!("{e}"));
    }
    drop(guests);
    assert_eq!(sandbox.resources().reserved_memory().get(), 0);
    let mut again = sandbox.guest(&module, GuestState::default()).expect("there is room again");
    again.call("next", &[]).into_result().unwrap_or_else(|e| panic!("{e}"));
    neighbour.goes_on();
    child::done();
}
