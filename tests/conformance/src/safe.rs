// SPDX-License-Identifier: MIT OR Apache-2.0
//! What safe code alone can try: references that say they are exclusive are so, also without isolation.
#![forbid(unsafe_code)]

use core::hint::black_box;

use harness::{Test, Verdict, check, same, tests};
use sbm::{Error, Isolation, Sbm, SharedPage, Unfit, map_writable};

pub(crate) const TESTS: &[Test] = tests![
    without_isolation_mapped_pages_are_exclusive_inside,
    without_isolation_a_nested_call_reaches_no_exclusive_reference,
    without_isolation_a_sandbox_that_has_the_page_reaches_no_exclusive_reference,
    without_isolation_pages_named_twice_are_refused,
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

fn without_isolation_pages_named_twice_are_refused() -> Verdict {
    let mut sbm = plain()?;
    let both = |_: &mut [u8], _: &mut [u8]| ();
    let result = sbm.call(both, (map_writable(&PAGES[..1]), map_writable(&PAGES[..1])));
    harness::expect::refused(result, 2, Unfit::Twice)?;
    let apart = |one: &mut [u8], two: &mut [u8]| one.as_ptr() != two.as_ptr();
    check!(sbm.call(apart, (map_writable(&PAGES[..1]), map_writable(&PAGES[1..])))?.assume_checked());
    Ok(())
}
