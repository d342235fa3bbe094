// SPDX-License-Identifier: MIT OR Apache-2.0
//! What safe code alone can try: references that say they are exclusive are so, in a sandbox and without isolation.
#![forbid(unsafe_code)]

use core::hint::black_box;

use harness::{Test, Verdict, check, same, tests};
use sbm::{Error, Isolation, Sbm, SharedPage, Unfit, map_writable};

pub(crate) const TESTS: &[Test] = tests![
    without_isolation_mapped_pages_are_exclusive_inside,
    without_isolation_a_nested_call_reaches_no_exclusive_reference,
    without_isolation_a_sandbox_that_has_the_page_reaches_no_exclusive_reference,
    without_isolation_pages_named_twice_are_refused,
    in_a_sandbox_the_pages_are_reached_through_the_argument_only,
];

static PAGES: [SharedPage; 2] = [SharedPage::ZERO; 2];

fn first_byte() -> u8 {
    let mut byte = [0];
    SharedPage::read(&PAGES, 0, &mut byte);
    byte[0]
}

fn plain() -> Result<Sbm, Error> {
    Sbm::builder().isolation(Isolation::None).report(false).build()
}

/// Writes 1 through the reference, has `other` write 2 by another way, and returns what the reference shows.
fn written_beside(pages: &mut [u8], other: impl FnOnce()) -> u8 {
    pages[0] = 1;
    other();
    black_box(&*pages)[0]
}

fn without_isolation_mapped_pages_are_exclusive_inside() -> Verdict {
    let mut sbm = plain()?;
    let function = |pages: &mut [u8]| written_beside(pages, || SharedPage::write(&PAGES, 0, &[2]));
    same!(sbm.call(function, (map_writable(&PAGES),))?.assume_checked(), 1);
    // What the function wrote comes back when it ends, as if the page had been its own.
    same!(first_byte(), 1);
    Ok(())
}

fn without_isolation_a_nested_call_reaches_no_exclusive_reference() -> Verdict {
    let mut sbm = plain()?;
    let function = |pages: &mut [u8]| {
        written_beside(pages, || {
            let nested = plain().and_then(|mut sbm| sbm.call(|pages: &mut [u8]| pages[0] = 2, (map_writable(&PAGES),)));
            assert!(nested.is_ok());
        })
    };
    same!(sbm.call(function, (map_writable(&PAGES),))?.assume_checked(), 1);
    Ok(())
}

fn without_isolation_a_sandbox_that_has_the_page_reaches_no_exclusive_reference() -> Verdict {
    let mut sbm = plain()?;
    let function = |pages: &mut [u8]| {
        written_beside(pages, || {
            let mut strong = Sbm::new();
            let written = strong.as_mut().map(|sbm| sbm.call(|pages: &mut [u8]| pages[0] = 2, (map_writable(&PAGES),)));
            assert!(matches!(written, Ok(Ok(_))));
            assert_eq!(first_byte(), 2);
        })
    };
    same!(sbm.call(function, (map_writable(&PAGES),))?.assume_checked(), 1);
    Ok(())
}

/// In its own address space a function has the pages at their own address, and could name the static as well.
fn in_a_sandbox_the_pages_are_reached_through_the_argument_only() -> Verdict {
    let mut sbm = Sbm::builder().report(false).build()?;
    let writes = |pages: &mut [u8]| written_beside(pages, || SharedPage::write(&PAGES, 0, &[2]));
    let reads = |pages: &mut [u8]| written_beside(pages, || assert_ne!(first_byte(), 3));
    let result = sbm.call(writes, (map_writable(&PAGES),)).map(drop);
    check!(matches!(result, Err(Error::Panic(_))), "written: {result:?}");
    sbm.reset()?;
    let result = sbm.call(reads, (map_writable(&PAGES),)).map(drop);
    check!(matches!(result, Err(Error::Panic(_))), "read: {result:?}");
    sbm.reset()?;
    harness::expect::works(&mut sbm)
}

fn without_isolation_pages_named_twice_are_refused() -> Verdict {
    let mut sbm = plain()?;
    let both = |_: &mut [u8], _: &mut [u8]| ();
    let result = sbm.call(both, (map_writable(&PAGES[..1]), map_writable(&PAGES[..1])));
    harness::expect::refused(result, 2, Unfit::Twice)?;
    let apart = |one: &mut [u8], two: &mut [u8]| one.as_ptr() != two.as_ptr();
    check!(sbm.call(apart, (map_writable(&PAGES[..1]), map_writable(&PAGES[1..])))?.assume_checked());
    Ok(())
}
