//! Reports and truths in every order.

use serde_json::{Value, json};

use super::*;
use crate::soak::judge::tests::{report, scene, truth};
use crate::soak::truth::Pace;

fn referee() -> Referee {
    Referee::new(vec![scene()], Duration::from_secs(60), 1)
}

#[test]
fn whoever_comes_first_the_two_meet() {
    let answered = Some(Answered { troupe: 0, number: 5 });
    let mut referee = referee();
    assert_eq!(referee.staged(0, truth(5, Pace::Steady)), None);
    assert!(referee.is_waiting());
    assert_eq!(referee.reported(report(5)), answered);
    assert_eq!(referee.reported(report(6)), None);
    assert_eq!(referee.staged(0, truth(6, Pace::Steady)), Some(Answered { troupe: 0, number: 6 }));
    assert!(!referee.is_waiting());
    assert_eq!(referee.close(), Vec::<String>::new());
    assert_eq!((referee.table.total(Outcome::Right), referee.table.strays, referee.told()), (2, 0, 2));
}

#[test]
fn silence_is_a_miss() {
    let mut referee = referee();
    referee.staged(0, truth(5, Pace::Raced));
    assert!(referee.give_up(false).is_empty());
    assert_eq!(referee.give_up(true).len(), 1);
    assert_eq!(referee.table.total(Outcome::Missed), 1);
}

#[test]
fn a_report_on_nothing_is_a_stray_and_others_business_is_not() {
    let mut referee = referee();
    referee.staged(0, truth(5, Pace::Steady));
    referee.reported(report(5));
    referee.reported(report(6));
    let mut twice = report(5);
    twice["id"] = json!("another");
    referee.reported(twice);
    let mut nameless = report(7);
    nameless["victim"]["comm"] = json!("bystander");
    referee.reported(nameless);
    let mut foreign = report(8);
    foreign["netns"] = json!(1);
    referee.reported(foreign);
    referee.close();
    assert_eq!(referee.table.strays, 3);
}

#[test]
fn repeats_bring_the_count_up_to_the_truth() {
    let mut referee = referee();
    let mut insistent = truth(5, Pace::Steady);
    insistent.asked.refused = 3;
    referee.staged(0, insistent);
    referee.reported(report(5));
    assert_eq!(referee.close().len(), 1, "two refusals are not accounted for");
    let mut repeat = report(5);
    repeat["count"] = json!(3);
    referee.reported(repeat);
    assert_eq!(referee.close(), Vec::<String>::new());
    assert_eq!((referee.told(), referee.table.strays), (3, 0));
}

#[test]
fn a_second_conflict_of_nobody_is_seen_by_the_count() {
    let nobody = |number: u32, count: u64| {
        let mut nobody = report(number);
        nobody["id"] = json!("the one");
        nobody["count"] = json!(count);
        nobody["holders"][0]["process"] = Value::Null;
        nobody["holders"][0]["unnamed_reason"] = json!("released-meanwhile");
        nobody
    };
    let mut referee = referee();
    for number in [5, 6, 7] {
        referee.staged(0, truth(number, Pace::Raced));
    }
    referee.reported(nobody(5, 1));
    // Of the repeats only the last is told: it names the last victim.
    referee.reported(nobody(7, 3));
    referee.give_up(true);
    assert_eq!(referee.close(), Vec::<String>::new());
    assert_eq!(referee.table.total(Outcome::RacedUnnamed), 3);
    referee.staged(0, truth(8, Pace::Raced));
    referee.give_up(true);
    assert_eq!(referee.table.total(Outcome::Missed), 1, "nothing is left to count it by");
}
