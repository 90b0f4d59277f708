//! An account in which something of everything has happened, on a server that is otherwise still: what pages show and
//! what nobody else may see or change.

use bromo_rules::id::AccountId;
use bromo_rules::key::KeyKind;
use bromo_rules::member::{Member, Role};
use serde_json::json;

use super::{Answer, Bromo, Customer, Receiver, Upstream, Visitor, until};

/// Names and texts are hostile, so that a page which shows one as markup is found by any walk over it.
pub(crate) const ACCOUNT: &str = r#"Acme "><script>alert("account")</script>"#;
pub(crate) const KEY: &str = "hauler <img src=x onerror=alert('key')>";
pub(crate) const QUESTION: &str =
    r#"Whose tea? "><script>alert("question")</script><img src=x onerror=alert(2)>"#;
pub(crate) const SAID: &str = "no <img src=x onerror=alert(5)>";
pub(crate) const IDEMPOTENCY: &str = "report-<svg/onload=alert(3)>";

/// One slot, so that a held task leaves the next one waiting; strangers may sign up.
const SETTINGS: &str = "[dashboard]\nsign_up = true\n\
    [[plans]]\nname = \"tiny\"\ntitle = \"Tiny\"\nslots = 1\ncredits = 1000\nself_serve = true\n\
    [[plans]]\nname = \"free\"\ntitle = \"Small\"\nslots = 1\ncredits = 100000\nself_serve = true\n\
    [[plans]]\nname = \"large\"\ntitle = \"Large\"\nslots = 4\ncredits = 200000\nself_serve = true\n";

pub(crate) struct House {
    pub(crate) customer: Customer,
    pub(crate) owner: Member,
    pub(crate) member: Member,
    pub(crate) viewer: Member,
    /// The id of a member who is none of these.
    other: String,
    /// The id of the key that has calls.
    pub(crate) key: String,
    /// A request in the log.
    pub(crate) request: String,
    /// Ended and not delivered; running; waiting.
    pub(crate) tasks: [String; 3],
    /// Of an invitation and of a link, both good.
    pub(crate) invitation: String,
    pub(crate) link: String,
    pub(crate) receiver: Receiver,
    upstream: Upstream,
    /// Last, so that nothing else is held when it ends.
    pub(crate) bromo: Bromo,
}

impl House {
    pub(crate) async fn furnished() -> Self {
        let upstream = Upstream::holding().await;
        let receiver = Receiver::start().await;
        receiver.always(Answer::Says(SAID));
        let bromo = Bromo::before_with(&upstream, SETTINGS);
        let made = bromo.engine().create_account(ACCOUNT, "free").await.unwrap();
        let account = made.account.id;
        let (key, secret) = bromo.engine().create_key(account, KeyKind::Live, Some(KEY)).await.unwrap();
        let customer = Customer::new(bromo.running().api, account, secret.reveal());
        let owner = bromo.engine().owner_or_new(account, "owner@acme.example").await.unwrap();
        let member = join(&bromo, &owner, "member@acme.example", Role::Member).await;
        let viewer = join(&bromo, &owner, "viewer@acme.example", Role::Viewer).await;
        let other = join(&bromo, &owner, "other@acme.example", Role::Viewer).await;
        let invited = bromo.engine().invite(&owner, "invited@acme.example", Role::Member).await.unwrap();
        let link = bromo.engine().make_link(&owner).await.unwrap();
        bromo.engine().set_keep_texts(account, true).await.unwrap();
        let question = json!({ "prompt": QUESTION });
        let answered = customer.post("monitor/gemini", question.to_string()).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        let request = answered.headers["x-request-id"].to_str().unwrap().to_owned();
        let failing = json!({ "prompt": format!("[sandbox fail=refused] {QUESTION}") });
        customer.post("monitor/gemini", failing.to_string()).await;
        let with = |task_type: &str, more: serde_json::Value| {
            let mut task = json!({ "taskType": task_type, "payload": { "prompt": QUESTION } });
            task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            task.to_string()
        };
        let webhook = json!({ "webhook": { "url": receiver.url("/hook?q='><svg/onload=alert(4)>") } });
        let ended = submit(&customer, with("GEMINI", webhook)).await;
        customer.ended(&ended).await;
        until("a delivery is tried", || receiver.count() == 1).await;
        let running = submit(&customer, with("CHATGPT", json!({ "idempotencyKey": IDEMPOTENCY }))).await;
        until("a task runs", || upstream.running() == 1).await;
        let waiting = submit(&customer, with("CHATGPT", json!({}))).await;
        let refused = customer.ask(QUESTION).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        until("all is logged", || bromo.engine().log().written.get() >= 4).await;
        Self {
            customer,
            owner,
            member,
            viewer,
            other: other.id.to_string(),
            key: key.id.to_string(),
            request,
            tasks: [ended, running, waiting],
            invitation: invited.reveal().to_owned(),
            link: link.reveal().to_owned(),
            receiver,
            upstream,
            bromo,
        }
    }

    pub(crate) const fn account(&self) -> AccountId {
        self.customer.account
    }

    pub(crate) async fn visitor(&self, member: &Member) -> Visitor {
        Visitor::member(&self.bromo, member).await
    }

    /// An address or a form's value with ids in their places.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("{account}", &self.account().to_string())
            .replace("{key}", &self.key)
            .replace("{request}", &self.request)
            .replace("{task}/cancel", &format!("{}/cancel", self.tasks[2]))
            .replace("{task}", &self.tasks[0])
            .replace("{member}", &self.other)
            .replace("{plan}", "tiny")
            .replace("{url}", &self.receiver.url("/test"))
    }

    /// Gives the account more slots than its tasks take.
    pub(crate) async fn make_room(&self) {
        self.bromo.engine().set_plan(self.account(), "large").await.unwrap();
        until("the waiting task runs", || self.upstream.running() == 2).await;
    }

    /// All that a form could change, in words.
    pub(crate) async fn state(&self) -> Vec<String> {
        let (engine, account) = (self.bromo.engine(), self.account());
        let store = engine.store();
        let mut state = vec![
            format!("{:?}", store.lookup_account(account).await.unwrap()),
            format!("{:?}", store.list_invitations(account, engine.clock().now()).await.unwrap()),
            format!("{:?}", store.lookup_plan_request(account).await.unwrap()),
            format!("{:?}", store.lookup_secrets(account).await.unwrap()),
            format!("{} received", self.receiver.count()),
            format!("{} accounts", store.list_accounts(None, 100).await.unwrap().len()),
        ];
        // Not when they were seen: that is theirs to change.
        let members = store.list_members(account).await.unwrap();
        state.extend(
            members.iter().map(|member| format!("{:?} {} {:?}", member.id, member.email, member.role)),
        );
        let keys = store.list_keys(account).await.unwrap();
        state.extend(keys.iter().map(|key| format!("{key:?}")));
        for task in &self.tasks {
            state.push(self.customer.read(task).await.body.to_string());
            state.push(format!(
                "{:?}",
                engine.delivery_attempts(account, task.parse().unwrap()).await.unwrap()
            ));
        }
        state
    }

    /// What nobody outside the account may read, wherever it stands.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let last4 = self.customer.key[self.customer.key.len() - 4..].to_owned();
        let texts = ["Whose tea", "Acme", "hauler", "@acme.example", "report-"];
        texts.into_iter().map(str::to_owned).chain([format!("…{last4}")]).collect()
    }

    /// The same, for answers to somebody who did not name them.
    pub(crate) fn ids(&self) -> Vec<String> {
        let ids = [&self.key, &self.request].into_iter().chain(&self.tasks).cloned();
        ids.chain([self.account().to_string(), self.viewer.id.to_string()]).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.upstream.release();
    }
}

async fn submit(customer: &Customer, task: String) -> String {
    let reply = customer.post("async/task", task).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body["task"]["id"].as_str().unwrap().to_owned()
}

/// A new member of the account of `owner`.
pub(crate) async fn join(bromo: &Bromo, owner: &Member, email: &str, role: Role) -> Member {
    let invited = bromo.engine().invite(owner, email, role).await.unwrap();
    bromo.engine().accept_invitation(invited.reveal(), "a long enough password").await.unwrap()
}
