//! Both executors against what their trait promises.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{DeterministicExecutor, Executor, Job, JobHandle, JobStatus, Signal, ThreadExecutor};
use crate::clock::{Clock, ManualClock};

/// A job made of a closure, which counts its runs and keeps the message of its panic.
struct Script<F> {
    act: F,
    run_count: AtomicU64,
    panicked: Mutex<Option<String>>,
    changed: Signal,
}

impl<F: Fn(u64) -> JobStatus + Send + Sync + 'static> Script<F> {
    fn new(act: F) -> Arc<Self> {
        let (run_count, panicked) = (AtomicU64::new(0), Mutex::new(None));
        Arc::new(Self { act, run_count, panicked, changed: Signal::default() })
    }

    fn runs(&self) -> u64 {
        self.run_count.load(Ordering::SeqCst)
    }

    /// Waits for `count` runs on the thread executor, at most ten seconds.
    fn wait_for_runs(&self, count: u64) {
        let reached =
            ThreadExecutor.wait_until(&self.changed, Some(10_000), &mut || self.runs() >= count);
        assert!(reached, "{} of {count} runs", self.runs());
    }
}

impl<F: Fn(u64) -> JobStatus + Send + Sync> Job for Script<F> {
    fn run_one(&self) -> JobStatus {
        let run = self.run_count.fetch_add(1, Ordering::SeqCst);
        self.changed.notify();
        (self.act)(run)
    }

    fn on_panic(&self, message: &str) {
        *self.panicked.lock() = Some(message.to_owned());
        self.changed.notify();
    }
}

mod threads {
    use super::*;

    #[test]
    fn a_job_runs_after_a_wake_and_not_before() {
        let job = Script::new(|_| JobStatus::Idle);
        let handle = ThreadExecutor.spawn("idle", Arc::clone(&job) as Arc<dyn Job>);
        assert!(!ThreadExecutor.wait_until(&job.changed, Some(30), &mut || job.runs() > 0));
        handle.wake();
        job.wait_for_runs(1);
        assert!(!ThreadExecutor.wait_until(&job.changed, Some(30), &mut || job.runs() > 1));
        handle.stop();
    }

    #[test]
    fn more_runs_again_and_a_timer_needs_no_wake() {
        let job = Script::new(|run| match run {
            0..10 => JobStatus::More,
            10..13 => JobStatus::After { ms: 1 },
            _ => JobStatus::Idle,
        });
        let handle = ThreadExecutor.spawn("more", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        job.wait_for_runs(14);
        handle.stop();
        assert_eq!(job.runs(), 14);
    }

    #[test]
    fn a_wake_cuts_a_long_timer_short() {
        let job = Script::new(|_| JobStatus::After { ms: u64::MAX });
        let handle = ThreadExecutor.spawn("timer", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        job.wait_for_runs(1);
        handle.wake();
        job.wait_for_runs(2);
        handle.stop();
    }

    #[test]
    fn stop_waits_for_the_present_step_and_may_be_called_by_many() {
        let finished = Arc::new(AtomicBool::new(false));
        let step_ends = Arc::clone(&finished);
        let job = Script::new(move |_| {
            let never = Signal::default();
            ThreadExecutor.wait_until(&never, Some(50), &mut || false);
            step_ends.store(true, Ordering::SeqCst);
            JobStatus::More
        });
        let handle = ThreadExecutor.spawn("slow", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        job.wait_for_runs(1);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    handle.stop();
                    assert!(finished.load(Ordering::SeqCst));
                });
            }
        });
        let runs = job.runs();
        handle.wake();
        handle.stop();
        assert_eq!(job.runs(), runs);
    }

    #[test]
    fn stop_from_the_job_itself_does_not_wait() {
        let own: Arc<OnceLock<Arc<dyn JobHandle>>> = Arc::default();
        let from_inside = Arc::clone(&own);
        let job = Script::new(move |_| {
            from_inside.get().unwrap().stop();
            JobStatus::More
        });
        let handle = ThreadExecutor.spawn("own", Arc::clone(&job) as Arc<dyn Job>);
        assert!(own.set(Arc::clone(&handle)).is_ok());
        handle.wake();
        job.wait_for_runs(1);
        handle.stop();
        assert_eq!(job.runs(), 1);
    }

    #[test]
    fn a_panic_is_told_and_ends_the_job() {
        let job = Script::new(|run| panic!("planned panic {run}"));
        let handle = ThreadExecutor.spawn("panics", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        let told = || job.panicked.lock().is_some();
        assert!(ThreadExecutor.wait_until(&job.changed, Some(10_000), &mut || told()));
        handle.wake();
        handle.stop();
        assert_eq!(job.runs(), 1);
        assert_eq!(job.panicked.lock().as_deref(), Some("planned panic 0"));
    }

    #[test]
    fn dropping_the_last_handle_ends_the_job() {
        let job = Script::new(|_| JobStatus::Idle);
        let handle = ThreadExecutor.spawn("dropped", Arc::clone(&job) as Arc<dyn Job>);
        drop(handle);
        let never = Signal::default();
        for _ in 0..1_000 {
            if Arc::strong_count(&job) == 1 {
                return;
            }
            ThreadExecutor.wait_until(&never, Some(10), &mut || false);
        }
        panic!("the thread still holds the job");
    }

    /// Two threads hand a number to and fro: one lost wake-up, and both would wait for ever.
    #[test]
    fn no_wake_up_is_lost() {
        const ROUNDS: u64 = 20_000;
        let (ball, signal) = (AtomicU64::new(0), Signal::default());
        let play = |parity: u64| {
            for round in (parity..2 * ROUNDS).step_by(2) {
                let arrived = &mut || ball.load(Ordering::SeqCst) == round;
                assert!(
                    ThreadExecutor.wait_until(&signal, Some(60_000), arrived),
                    "lost in {round}"
                );
                ball.store(round + 1, Ordering::SeqCst);
                signal.notify();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| play(0));
            scope.spawn(|| play(1));
        });
        assert_eq!(ball.load(Ordering::SeqCst), 2 * ROUNDS);
    }

    /// A change between the look and the wait is the wake-up that a naive wait loses; here it comes from `ready` itself,
    /// which also shows that no lock is held while it looks.
    #[test]
    fn a_change_made_while_looking_is_looked_at() {
        let signal = Signal::default();
        let mut looks = 0;
        let ready = &mut || {
            looks += 1;
            signal.notify();
            looks == 3
        };
        assert!(ThreadExecutor.wait_until(&signal, Some(5_000), ready));
        assert_eq!(looks, 3);
    }

    #[test]
    fn a_wait_ends_in_time_also_when_notified_all_the_while() {
        let signal = Signal::default();
        let notify_and_refuse = &mut || {
            signal.notify();
            false
        };
        assert!(!ThreadExecutor.wait_until(&signal, Some(20), notify_and_refuse));
        assert!(!ThreadExecutor.wait_until(&signal, Some(0), &mut || false));
    }
}

mod deterministic {
    use super::*;

    /// Runs three jobs that have ten steps each and returns the order of their steps.
    fn schedule(seed: u64) -> (Vec<usize>, u64) {
        let executor = DeterministicExecutor::new(seed);
        let order: Arc<Mutex<Vec<usize>>> = Arc::default();
        let handles: Vec<_> = (0..3)
            .map(|id| {
                let order = Arc::clone(&order);
                let job = Script::new(move |run| {
                    order.lock().push(id);
                    if run < 9 { JobStatus::More } else { JobStatus::Idle }
                });
                executor.spawn("step", job as Arc<dyn Job>)
            })
            .collect();
        handles.iter().for_each(|handle| handle.wake());
        assert_eq!(executor.run_until_idle(1_000), 30);
        let order = order.lock().clone();
        (order, executor.schedule_hash())
    }

    #[test]
    fn one_seed_is_one_schedule() {
        assert_eq!(schedule(7), schedule(7));
        let distinct: std::collections::BTreeSet<_> = (0..20).map(schedule).collect();
        assert_eq!(distinct.len(), 20);
        let hashes: std::collections::BTreeSet<_> =
            distinct.iter().map(|(_, hash)| *hash).collect();
        assert_eq!(hashes.len(), 20);
    }

    #[test]
    fn every_order_of_two_jobs_occurs() {
        let firsts: std::collections::BTreeSet<_> =
            (0..20).map(|seed| schedule(seed).0[..2].to_vec()).collect();
        assert_eq!(firsts.len(), 9);
    }

    #[test]
    fn a_wake_runs_nothing_by_itself_and_several_are_one() {
        let executor = DeterministicExecutor::new(1);
        let job = Script::new(|_| JobStatus::Idle);
        let handle = executor.spawn("idle", Arc::clone(&job) as Arc<dyn Job>);
        assert!(!executor.run_pending());
        handle.wake();
        handle.wake();
        assert_eq!(job.runs(), 0);
        assert!(executor.run_pending());
        assert!(!executor.run_pending());
        assert_eq!((job.runs(), executor.step_count()), (1, 1));
    }

    #[test]
    fn a_wake_during_the_step_leads_to_another() {
        let executor = DeterministicExecutor::new(1);
        let own: Arc<OnceLock<Arc<dyn JobHandle>>> = Arc::default();
        let from_inside = Arc::clone(&own);
        let job = Script::new(move |run| {
            if run == 0 {
                from_inside.get().unwrap().wake();
            }
            JobStatus::Idle
        });
        let handle = executor.spawn("wakes", Arc::clone(&job) as Arc<dyn Job>);
        assert!(own.set(Arc::clone(&handle)).is_ok());
        handle.wake();
        assert_eq!(executor.run_until_idle(10), 2);
    }

    #[test]
    fn a_waiting_job_lets_others_run_but_is_not_run_again() {
        let executor = Arc::new(DeterministicExecutor::new(3));
        let (depth, deepest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let helper = Script::new(|_| JobStatus::Idle);
        let helper_handle = executor.spawn("helper", Arc::clone(&helper) as Arc<dyn Job>);
        let (inner, seen, reached) =
            (Arc::clone(&executor), Arc::clone(&helper), Arc::clone(&deepest));
        let own: Arc<OnceLock<Arc<dyn JobHandle>>> = Arc::default();
        let from_inside = Arc::clone(&own);
        let waiter = Script::new(move |_| {
            reached.fetch_max(depth.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            from_inside.get().unwrap().wake();
            helper_handle.wake();
            let before = seen.runs();
            let helped = inner.wait_until(&seen.changed, None, &mut || seen.runs() > before);
            assert!(helped);
            depth.fetch_sub(1, Ordering::SeqCst);
            JobStatus::Idle
        });
        let handle = executor.spawn("waiter", Arc::clone(&waiter) as Arc<dyn Job>);
        assert!(own.set(Arc::clone(&handle)).is_ok());
        handle.wake();
        for _ in 0..20 {
            executor.run_pending();
        }
        assert_eq!(waiter.panicked.lock().as_deref(), None);
        assert_eq!(deepest.load(Ordering::SeqCst), 1);
        assert!(waiter.runs() > 1 && helper.runs() == waiter.runs());
    }

    #[test]
    fn a_wait_ends_when_nothing_is_left() {
        let executor = DeterministicExecutor::new(1);
        let job = Script::new(|run| if run < 4 { JobStatus::More } else { JobStatus::Idle });
        let handle = executor.spawn("five", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        assert!(executor.wait_until(&job.changed, None, &mut || job.runs() == 3));
        assert!(!executor.wait_until(&job.changed, None, &mut || false));
        assert_eq!(job.runs(), 5);
    }

    #[test]
    fn a_wait_ends_though_a_job_or_a_timer_never_does() {
        for status in [JobStatus::More, JobStatus::After { ms: 1 }] {
            let executor = DeterministicExecutor::new(1);
            let job = Script::new(move |_| status);
            let handle = executor.spawn("endless", Arc::clone(&job) as Arc<dyn Job>);
            handle.wake();
            assert!(!executor.wait_until(&job.changed, None, &mut || false));
        }
    }

    #[test]
    fn timers_fire_in_their_order_and_move_the_clock() {
        let clock = Arc::new(ManualClock::at(5));
        let executor = DeterministicExecutor::with_clock(1, Arc::clone(&clock));
        let order: Arc<Mutex<Vec<(u64, i64)>>> = Arc::default();
        let handles: Vec<_> = [300, 100, 200]
            .into_iter()
            .map(|ms| {
                let (order, clock) = (Arc::clone(&order), Arc::clone(&clock));
                let job = Script::new(move |run| {
                    if run == 0 {
                        return JobStatus::After { ms };
                    }
                    order.lock().push((ms, clock.monotonic_ns()));
                    JobStatus::Idle
                });
                let handle = executor.spawn("timer", job as Arc<dyn Job>);
                handle.wake();
                handle
            })
            .collect();
        executor.run_until_idle(10);
        let signal = Signal::default();
        assert!(!executor.wait_until(&signal, Some(250), &mut || false));
        assert_eq!(*order.lock(), [(100, 100_000_000), (200, 200_000_000)]);
        assert_eq!((executor.now_ms(), clock.wall_ns()), (250, 250_000_005));
        assert!(!executor.wait_until(&signal, None, &mut || false));
        assert_eq!(order.lock().len(), 3);
        drop(handles);
    }

    #[test]
    fn run_timers_runs_each_timer_once() {
        let executor = DeterministicExecutor::new(1);
        let jobs: Vec<_> = (0..4).map(|_| Script::new(|_| JobStatus::After { ms: 10 })).collect();
        let spawn = |job: &Arc<_>| executor.spawn("timer", Arc::clone(job) as Arc<dyn Job>);
        let handles: Vec<_> = jobs.iter().map(spawn).collect();
        handles.iter().take(3).for_each(|handle| handle.wake());
        assert_eq!((executor.run_timers(), executor.run_until_idle(10)), (0, 3));
        assert!(executor.is_idle());
        assert_eq!(executor.run_timers(), 3);
        assert_eq!(jobs.iter().map(|job| job.runs()).collect::<Vec<_>>(), [2, 2, 2, 0]);
        executor.advance_ms(9);
        assert!(executor.is_idle());
        executor.advance_ms(1);
        assert_eq!(executor.run_until_idle(10), 3);
    }

    #[test]
    fn a_stopped_or_dropped_job_is_not_run() {
        let executor = DeterministicExecutor::new(1);
        let job = Script::new(|_| JobStatus::More);
        let handle = executor.spawn("stopped", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        assert!(executor.run_pending());
        handle.stop();
        handle.stop();
        handle.wake();
        assert!(!executor.run_pending());
        let handle = executor.spawn("dropped", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        drop(handle);
        assert!(!executor.run_pending());
        assert_eq!((job.runs(), Arc::strong_count(&job)), (1, 1));
    }

    #[test]
    fn a_panic_is_told_and_ends_the_job() {
        let executor = DeterministicExecutor::new(1);
        let job = Script::new(|_| panic!("planned panic"));
        let handle = executor.spawn("panics", Arc::clone(&job) as Arc<dyn Job>);
        handle.wake();
        assert!(executor.run_pending());
        handle.wake();
        assert!(!executor.run_pending());
        assert_eq!(job.panicked.lock().as_deref(), Some("planned panic"));
    }
}
