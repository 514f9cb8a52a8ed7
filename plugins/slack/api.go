package slack

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack"

	"parley.im/bus/event"
)

// requestTimeout bounds one request to Slack.
const requestTimeout = 20 * time.Second

// api is Slack's Web API, as the app. It may be used from several goroutines.
type api struct {
	client *slack.Client
	large  *slack.Client // without a time limit of its own, for files
	http   *http.Client
	files  *http.Client // the same
	home   *url.URL     // of the Web API

	mu sync.Mutex
	me *identity
}

// identity is who the app is.
type identity struct {
	team, user, bot string
	customize       bool // it may post under other names
}

func newAPI(set settings) *api {
	h := &http.Client{
		Transport: http.DefaultTransport.(*http.Transport).Clone(),
		// The API redirects nowhere, and the token is for nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       requestTimeout,
	}
	files := &http.Client{Transport: h.Transport, CheckRedirect: h.CheckRedirect}
	client := func(h *http.Client) *slack.Client {
		return slack.New(set.BotToken, slack.OptionAPIURL(set.APIURL), slack.OptionHTTPClient(h))
	}
	home, _ := url.Parse(set.APIURL) // it was read before
	return &api{http: h, files: files, home: home, client: client(h), large: client(files)}
}

func (a *api) close() { a.http.CloseIdleConnections() }

// call makes one request. The error is a verdict: what it means for a
// delivery whose request this was.
func (a *api) call(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var written atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }})
	return verdict(request(ctx), written.Load())
}

// identity asks once who the app is.
func (a *api) identity(ctx context.Context) (identity, error) {
	if me, ok := a.known(); ok {
		return me, nil
	}
	var r *slack.AuthTestResponse
	err := a.call(ctx, func(ctx context.Context) (err error) { r, err = a.client.AuthTestContext(ctx); return err })
	if err != nil {
		return identity{}, explain(err)
	}
	scopes := r.Header.Get("X-OAuth-Scopes")
	me := identity{team: r.TeamID, user: r.UserID, bot: r.BotID,
		customize: scopes == "" || hasScope(scopes, "chat:write.customize")}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.me = &me
	return me, nil
}

// known returns who the app is, if it was asked before.
func (a *api) known() (me identity, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.me == nil {
		return me, false
	}
	return *a.me, true
}

func hasScope(list, scope string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(s) == scope {
			return true
		}
	}
	return false
}

// plainNames notes that the app may not post under other names.
func (a *api) plainNames() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.me != nil {
		me := *a.me
		me.customize = false
		a.me = &me
	}
}

// member tells whether the app is in a channel.
func (a *api) member(ctx context.Context, channel string) (bool, error) {
	var c *slack.Channel
	err := a.call(ctx, func(ctx context.Context) (err error) {
		c, err = a.client.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: channel})
		return err
	})
	return err == nil && c.IsMember, err
}

// join joins a public channel.
func (a *api) join(ctx context.Context, channel string) error {
	return a.call(ctx, func(ctx context.Context) error {
		_, _, _, err := a.client.JoinConversationContext(ctx, channel)
		return err
	})
}

// refusal is an answer of Slack's that says no: nothing was done.
type refusal struct {
	code   string
	needed string // scopes that are missing, if Slack says so
}

func (r *refusal) Error() string {
	if r.needed != "" {
		return r.code + " (" + oneLine(r.needed) + ")" + advice[r.code]
	}
	return r.code + advice[r.code]
}

// advice says what to do about the errors that an admin can mend.
var advice = map[string]string{
	"channel_not_found":                     ": there is no such channel, or the app is not in that private channel; invite it there with /invite",
	"not_in_channel":                        ": the app is not in the channel; invite it there with /invite",
	"is_archived":                           ": the channel is archived; unarchive it or change the route",
	"restricted_action":                     ": a preference of the workspace keeps the app from posting there; an admin can allow it",
	"user_not_found":                        ": there is no such person in this workspace",
	"user_disabled":                         ": the person's account is deactivated",
	"cannot_dm_bot":                         ": the app can't write to another app",
	"messages_tab_disabled":                 ": switch on the Messages tab in the app's settings, under App Home",
	"missing_scope":                         ": the app lacks a scope; install it again from the manifest that \"parley plugin slack manifest\" prints",
	"invalid_auth":                          ": the bot token is wrong; copy it again from the app's page OAuth & Permissions",
	"not_authed":                            ": the bot token is missing",
	"token_revoked":                         ": the bot token was revoked; install the app again and change bot_token",
	"token_expired":                         ": the bot token has expired; switch off token rotation or give a new one",
	"account_inactive":                      ": the app was removed from the workspace; install it again",
	"team_access_not_granted":               ": the app was not granted to this workspace; an admin of the organisation can grant it",
	"no_permission":                         ": the token has no right to do this; install the app again from its manifest",
	"not_allowed_token_type":                ": this is not a bot token; give the one that begins with xoxb-",
	"msg_too_long":                          ": Slack takes at most 40,000 characters",
	"access_denied":                         ": Slack denies the app access",
	"ekm_access_denied":                     ": the workspace's admins have suspended posting",
	"org_login_required":                    ": the workspace is moving to another organisation",
	"team_not_found":                        ": there is no such workspace",
	"method_not_supported_for_channel_type": ": this kind of channel does not take it",
}

// The errors of Slack's that concern the app as a whole: its messages wait for
// an admin.
var ofApp = map[string]bool{
	"invalid_auth": true, "not_authed": true, "token_revoked": true, "token_expired": true, "account_inactive": true,
	"missing_scope": true, "no_permission": true, "team_access_not_granted": true, "not_allowed_token_type": true,
	"access_denied": true, "ekm_access_denied": true, "org_login_required": true, "team_not_found": true,
}

// Those after which nobody knows whether it was done.
var unknown = map[string]bool{
	"internal_error": true, "fatal_error": true, "request_timeout": true, "service_unavailable": true,
}

// Those that a later try can't mend.
var forGood = map[string]bool{
	"channel_not_found": true, "not_in_channel": true, "is_archived": true, "restricted_action": true,
	"restricted_action_read_only_channel": true, "restricted_action_thread_only_channel": true,
	"restricted_action_non_threadable_channel": true, "restricted_action_thread_locked": true,
	"user_not_found": true, "user_disabled": true, "cannot_dm_bot": true, "messages_tab_disabled": true,
	"msg_too_long": true, "no_text": true, "invalid_arguments": true, "method_not_supported_for_channel_type": true,
	"cannot_reply_to_message": true, "message_not_found": true, "cant_update_message": true, "edit_window_closed": true,
	"cant_delete_message": true, "invalid_name": true, "too_many_reactions": true, "already_reacted": true, "metadata_too_large": true,
	"too_many_emoji": true, "not_reactable": true, "thread_locked": true, "cant_delete_file": true, "delete_not_allowed": true, "file_deleting_disabled": true,
	"user_not_visible": true, "as_user_not_supported": true,
}

// adminWait is how long what only an admin can mend is left alone.
const adminWait = time.Minute

// verdict says what an error means for a delivery, as package event has it.
// written tells whether the request may have reached Slack.
func verdict(err error, written bool) error {
	var (
		limited *slack.RateLimitedError
		said    slack.SlackErrorResponse
		status  slack.StatusCodeError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limited):
		return event.Retry(event.ScopeTarget, max(limited.RetryAfter, time.Second), errors.New("slack asks for a slower pace"))
	case errors.As(err, &said):
		return answered(&refusal{said.Err, said.Needed})
	case errors.As(err, &status) && status.Code == http.StatusTooManyRequests:
		return event.Retry(event.ScopeTarget, 0, err)
	case errors.As(err, &status) && status.Code >= 400 && status.Code < 500:
		return event.Retry(event.ScopeConnector, 0, err)
	case !written && !errors.As(err, &status):
		return event.Retry(event.ScopeConnector, 0, err)
	}
	return err
}

func answered(r *refusal) error {
	code := r.code
	switch {
	case code == "ratelimited" || code == "rate_limited" || code == "message_limit_exceeded":
		return event.Retry(event.ScopeTarget, 0, r)
	case ofApp[code]:
		return event.Retry(event.ScopeConnector, adminWait, r)
	case unknown[code]:
		return errors.New("slack: " + code)
	case forGood[code]:
		return event.Permanent(r)
	}
	return event.Retry(event.ScopeMessage, 0, r)
}

// isRefusal tells whether Slack said no with one of the codes.
func isRefusal(err error, codes ...string) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, c := range codes {
		if r.code == c {
			return true
		}
	}
	return false
}

// explain returns the words of an error without its policy.
func explain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}
