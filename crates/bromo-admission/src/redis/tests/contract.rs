//! The suite of every backend, and ten thousand calls over two nodes.

use bromo_testbed::Redis as Server;

use super::{Installation, block_on};
use crate::{Admission, contract};

macro_rules! suite {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            block_on(async {
                let installation = Installation::on(Server::shared());
                let node = installation.node(1).await;
                contract::$name(&*node.redis).await;
            });
        }
    )* };
}

contract::each!(suite);

#[test]
fn ten_thousand_calls_that_alternate_between_two_nodes_on_one_slot_are_never_refused() {
    block_on(async {
        let installation = Installation::on(Server::shared());
        let nodes = [installation.node(1).await, installation.node(2).await];
        let ask = installation.ask();
        nodes[0].open(ask.facts).await;
        for call in 0..10_000 {
            nodes[call % 2].enter(&ask).await.release(None).await;
        }
        assert_eq!(nodes[0].redis.repairs() + nodes[1].redis.repairs(), 0);
    });
}
