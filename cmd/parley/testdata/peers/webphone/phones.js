// A phone in a page, of one of two kinds: window.phone shows its state and what
// it got, and sends. The page's address says #kind,server,user,password.
import JsSIP from "jssip";
import * as SIP from "sip.js";

const [kind, server, user, password] = location.hash.slice(1).split(",");
const domain = "127.0.0.1";
const phone = (window.phone = { state: "new", got: [], sent: 0 });

function jssip() {
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(server)],
    uri: `sip:${user}@${domain}`,
    password,
    register_expires: 120,
  });
  ua.on("registered", () => (phone.state = "registered"));
  ua.on("registrationFailed", (e) => (phone.state = `failed: ${e.cause}`));
  ua.on("newMessage", (e) => {
    if (e.originator === "remote") phone.got.push(e.request.body);
  });
  phone.send = (to, text) => {
    ua.sendMessage(to, text, {
      eventHandlers: {
        succeeded: (e) => (phone.sent = e.response.status_code),
        failed: (e) => (phone.sent = e.cause),
      },
    });
  };
  ua.start();
}

async function sipjs() {
  const ua = new SIP.UserAgent({
    uri: SIP.UserAgent.makeURI(`sip:${user}@${domain}`),
    authorizationUsername: user,
    authorizationPassword: password,
    transportOptions: { server },
    delegate: {
      onMessage: (m) => {
        phone.got.push(m.request.body);
        m.accept();
      },
    },
  });
  phone.send = (to, text) => {
    new SIP.Messager(ua, SIP.UserAgent.makeURI(to), text).message({
      requestDelegate: {
        onAccept: (r) => (phone.sent = r.message.statusCode),
        onReject: (r) => (phone.sent = r.message.statusCode),
      },
    });
  };
  await ua.start();
  const registerer = new SIP.Registerer(ua, { expires: 120 });
  registerer.stateChange.addListener((s) => {
    if (s === "Registered") phone.state = "registered";
  });
  await registerer.register();
}

(kind === "jssip" ? jssip : sipjs)();
