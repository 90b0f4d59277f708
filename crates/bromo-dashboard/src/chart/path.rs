//! Paths in whole units and relative commands, which keeps four hundred points in a few kilobytes.

use std::fmt::Write as _;

/// Units of a step along the time axis.
pub(super) const STEP_UNITS: i32 = 4;
/// Units from the floor to the top.
pub(super) const HEIGHT_UNITS: i32 = 320;

/// The unit a share of the height lies on, counted from the top as SVG does.
pub(super) fn unit(share: f64) -> i32 {
    HEIGHT_UNITS - (share * f64::from(HEIGHT_UNITS)).round() as i32
}

/// A value held for each step. A step without one lifts the pen; with `filled`, every stroke starts and ends on the floor.
pub(super) fn stairs(heights: impl Iterator<Item = Option<f64>>, filled: bool) -> String {
    let mut path = String::new();
    let mut pen: Option<(i32, i32)> = None; // Height, and the run not yet drawn.
    let mut left = 0; // Where the last stroke of a filled path ended.
    let lift = |path: &mut String, pen: Option<(i32, i32)>| {
        if let Some((_, run)) = pen {
            let _ = write!(path, "h{run}");
            if filled {
                let _ = write!(path, "V{HEIGHT_UNITS}");
            }
        }
    };
    for (step, height) in heights.enumerate() {
        let Some(share) = height else {
            if pen.is_some() {
                left = step as i32 * STEP_UNITS;
            }
            lift(&mut path, pen.take());
            continue;
        };
        let y = unit(share);
        pen = match pen {
            Some((at, run)) if at == y => Some((at, run + STEP_UNITS)),
            Some((at, run)) => {
                let _ = write!(path, "h{run}v{}", y - at);
                Some((y, STEP_UNITS))
            }
            None => {
                let x = step as i32 * STEP_UNITS;
                let _ = match (filled, path.is_empty()) {
                    (true, true) => write!(path, "M{x} {HEIGHT_UNITS}V{y}"),
                    (true, false) => write!(path, "m{} 0V{y}", x - left),
                    (false, _) => write!(path, "M{x} {y}"),
                };
                Some((y, STEP_UNITS))
            }
        };
    }
    lift(&mut path, pen);
    path
}

/// Straight lines through the middles of the steps. A lone point becomes a short dash, so that it is seen.
pub(super) fn line(heights: &[Option<f64>]) -> String {
    let mut path = String::new();
    let mut last: Option<i32> = None;
    for (step, height) in heights.iter().enumerate() {
        let Some(share) = *height else {
            last = None;
            continue;
        };
        let (x, y) = (step as i32 * STEP_UNITS + STEP_UNITS / 2, unit(share));
        let _ = match last {
            Some(before) if before == y => write!(path, "h{STEP_UNITS}"),
            Some(before) if y < before => write!(path, "l{STEP_UNITS}-{}", before - y),
            Some(before) => write!(path, "l{STEP_UNITS} {}", y - before),
            None if heights.get(step + 1).copied().flatten().is_none() => {
                write!(path, "M{} {y}h{}", x - 1, STEP_UNITS / 2)
            }
            None => write!(path, "M{x} {y}"),
        };
        last = Some(y);
    }
    path
}

/// A rectangle from `y` down, for hatches: they are clipped by one path instead of drawn one by one.
pub(super) fn rectangle(path: &mut String, x: i32, y: i32, width: i32, height: i32) {
    let _ = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
}
