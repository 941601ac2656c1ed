//! A router that was changed step by step equals one built from the end result.

use gibbon_router::{Change, Flavor, RouteSpec, Router, Scratch, Subsystem};

use crate::cases::{self, Random};

const FLAVORS: [Flavor; 3] = [Flavor::TraditionalCompatible, Flavor::Expressions, Flavor::Traditional];

fn any_route(random: &mut Random, flavor: Flavor, subsystem: Subsystem) -> RouteSpec {
    match (subsystem, flavor) {
        (Subsystem::Http, Flavor::Expressions) if random.percent(70) => cases::expression_route(random),
        (Subsystem::Http, _) => cases::http_route(random),
        (Subsystem::Stream, _) => cases::stream_route(random),
    }
}

/// Adds, replaces and removes routes at random; returns the change and keeps the list of what should be there.
fn change(random: &mut Random, routes: &mut Vec<(RouteSpec, u64)>, fresh: RouteSpec) -> Change<u64> {
    let value = random.next();
    match random.below(4) {
        0 if !routes.is_empty() => {
            let (spec, _) = routes.swap_remove(random.below(routes.len()));
            Change::Remove(spec.id)
        }
        1 if !routes.is_empty() => {
            let index = random.below(routes.len());
            let spec = RouteSpec { id: routes[index].0.id, ..fresh };
            routes[index] = (spec.clone(), value);
            Change::Put(spec, value)
        }
        _ => {
            routes.push((fresh.clone(), value));
            Change::Put(fresh, value)
        }
    }
}

#[test]
fn changes_lead_where_building_leads() {
    let base = cases::seed("incremental");
    let mut scratch = Scratch::default();
    for round in 0..240 {
        let seed = base.wrapping_add(round);
        let mut random = Random::new(seed);
        let flavor = FLAVORS[random.below(3)];
        let subsystem = if random.percent(70) { Subsystem::Http } else { Subsystem::Stream };
        let mut routes = Vec::new();
        let mut router = Router::empty(flavor, subsystem);
        for _ in 0..20 {
            let changes: Vec<Change<u64>> = (0..1 + random.below(4))
                .map(|_| {
                    let fresh = any_route(&mut random, flavor, subsystem);
                    change(&mut random, &mut routes, fresh)
                })
                .collect();
            let before = (router.fingerprint(), router.len());
            let after = router.updated(changes).unwrap();
            assert_eq!((router.fingerprint(), router.len()), before, "the old router is left alone");
            router = after;
            let scratch_built = Router::build(flavor, subsystem, routes.iter().cloned()).unwrap();
            let state = |router: &Router<u64>| (router.fingerprint(), router.len(), router.unindexed());
            assert_eq!(state(&router), state(&scratch_built), "ROUTER_SEED={seed}");
            for _ in 0..10 {
                let request = match subsystem {
                    Subsystem::Http => cases::http_request(&mut random),
                    Subsystem::Stream => cases::stream_request(&mut random),
                };
                let query = request.query();
                let winner = |router: &Router<u64>, scratch: &mut Scratch| {
                    router.find(&query, scratch).map(|found| (*found.value, found.matched_path.map(<[u8]>::to_vec)))
                };
                let (changed, built) = (winner(&router, &mut scratch), winner(&scratch_built, &mut scratch));
                assert_eq!(changed, built, "ROUTER_SEED={seed}\n{flavor:?} {query:?}\n{routes:#?}");
            }
        }
    }
}

#[test]
fn old_routers_answer_as_before_while_new_ones_are_made() {
    let mut random = Random::new(1);
    let mut scratch = Scratch::default();
    let routes: Vec<RouteSpec> = (0..200).map(|_| cases::http_route(&mut random)).collect();
    let first = Router::build(
        Flavor::TraditionalCompatible,
        Subsystem::Http,
        routes.iter().cloned().enumerate().map(|(index, route)| (route, index)),
    )
    .unwrap();
    let requests: Vec<_> = (0..200).map(|_| cases::http_request(&mut random)).collect();
    let answers = |router: &Router<usize>, scratch: &mut Scratch| -> Vec<Option<usize>> {
        requests.iter().map(|request| router.find(&request.query(), scratch).map(|found| *found.value)).collect()
    };
    let before = answers(&first, &mut scratch);
    let emptied = first.updated(routes.iter().map(|route| Change::Remove(route.id))).unwrap();
    assert!(emptied.is_empty() && emptied.fingerprint() == 0 && emptied.unindexed() == 0);
    assert!(answers(&emptied, &mut scratch).iter().all(Option::is_none));
    assert_eq!(answers(&first, &mut scratch), before);
}

#[test]
fn a_route_that_does_not_compile_leaves_the_router_in_force() {
    let mut random = Random::new(2);
    let good = cases::http_route(&mut random);
    let router = Router::build(Flavor::TraditionalCompatible, Subsystem::Http, [(good.clone(), ())]).unwrap();
    let bad = RouteSpec { paths: vec!["~/(".into()], ..cases::http_route(&mut random) };
    let errors = router.updated([Change::Put(bad.clone(), ()), Change::Remove(good.id)]).err().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].route, bad.id);
    assert!(errors[0].message.contains("unclosed group"), "{}", errors[0]);
    assert_eq!(router.len(), 1);
}
