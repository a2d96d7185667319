package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coder/acp-go-sdk"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// handshakeTime bounds each step before the prompt, where Job.Handshake does not.
const handshakeTime = time.Minute

// errUnanswered ends a request that an agent does not answer in time.
var errUnanswered = errors.New("no answer")

// conversation is a session with an ACP agent.
type conversation struct {
	*running
	feed    *feed
	conn    *acp.ClientSideConnection
	session atomic.Pointer[acp.SessionId]
}

// gone stands for the verdict on a request that the agent's end left unanswered, until it is known how the agent ended.
var gone = failure.New(contract.AgentCrashed, "The agent ended in the middle of its work")

// converse speaks the Agent Client Protocol with the agent until its turn is over.
func (r *running) converse(ctx context.Context) *failure.Failure {
	c := &conversation{running: r, feed: newFeed(r.record)}
	c.conn = acp.NewClientSideConnection(client{r.job.Agent.Permissions}, r.stdin, c.feed.requests())
	c.conn.SetLogger(slog.New(slog.DiscardHandler)) // its messages quote what the agent sent
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.feed.read(r.output())
	}()
	fault := c.turn(ctx)
	r.end(context.WithoutCancel(ctx), read)
	return c.explain(fault)
}

// turn is one prompt from handshake to answer.
func (c *conversation) turn(ctx context.Context) *failure.Failure {
	var fault *failure.Failure
	answered := make(chan struct{})
	ask, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	go func() {
		defer close(answered)
		fault = c.ask(ask)
	}()
	if ended := c.awaitTurn(ctx, answered); ended != nil {
		return ended
	}
	<-answered
	if fault == gone {
		c.awaitEnd()
	}
	c.dismiss(ctx)
	return fault
}

// awaitEnd gives an agent whose output has ended the time to end as well, so that it can be told how.
func (c *conversation) awaitEnd() {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-c.proc.Done():
	case <-timer.C:
		c.feed.broke("The agent closed its output in the middle of its work")
	}
}

// awaitTurn waits until the agent has answered or ended, which closes the connection and so answers too.
func (c *conversation) awaitTurn(ctx context.Context, answered <-chan struct{}) *failure.Failure {
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		c.cancel(answered)
		c.proc.Stop(context.WithoutCancel(ctx), c.job.Patience/2)
		return stopped()
	case <-c.silence.tooLong():
		c.proc.Stop(ctx, c.job.Patience)
		return c.tooSilent()
	case <-c.proc.Done():
		// A process that it left behind may hold its streams open.
		_ = c.stdin.Close()
		time.AfterFunc(settleTime, func() { _ = c.stdout.SetReadDeadline(time.Unix(1, 0)) })
		return nil
	}
}

// cancel asks the agent to end its turn, and gives it half of the patience to do so.
func (c *conversation) cancel(answered <-chan struct{}) {
	session := c.session.Load()
	if session == nil {
		return
	}
	go func() { _ = c.conn.Cancel(context.Background(), acp.CancelNotification{SessionId: *session}) }()
	patience := time.NewTimer(c.job.Patience / 2)
	defer patience.Stop()
	select {
	case <-answered:
	case <-c.proc.Done():
	case <-patience.C:
	}
}

// dismiss lets an agent end whose turn is over. Agents may keep running when their input ends.
func (c *conversation) dismiss(ctx context.Context) {
	_ = c.stdin.Close()
	const farewell = 2 * time.Second
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-c.proc.Done():
	case <-timer.C:
		c.proc.Stop(ctx, c.job.Patience)
	}
}

// ask goes through the protocol. A nil failure means that the agent ended its turn as it should.
func (c *conversation) ask(ctx context.Context) *failure.Failure {
	if fault := c.greet(ctx); fault != nil {
		return fault
	}
	if fault := c.chooseModel(ctx); fault != nil {
		return fault
	}
	prompt := acp.PromptRequest{SessionId: *c.session.Load(), Prompt: []acp.ContentBlock{acp.TextBlock(c.job.Prompt)}}
	answer, err := call(ctx, c, 0, prompt, c.conn.Prompt)
	if err != nil {
		return c.refused("session/prompt", err)
	}
	if u := answer.Usage; u != nil {
		c.record.apply(event{kind: used, usage: usageOf(u)})
	}
	return stopReason(answer.StopReason)
}

func usageOf(u *acp.Usage) contract.Usage {
	in := int64(u.InputTokens)
	for _, cached := range []*int{u.CachedReadTokens, u.CachedWriteTokens} {
		if cached != nil {
			in += int64(*cached)
		}
	}
	return contract.Usage{InputTokens: in, OutputTokens: int64(u.OutputTokens)}
}

// greet opens a session. File system and terminal of the client are not offered: the agent is in the sandbox itself.
func (c *conversation) greet(ctx context.Context) *failure.Failure {
	hello := acp.InitializeRequest{
		ProtocolVersion: acp.ProtocolVersionNumber,
		ClientInfo:      &acp.Implementation{Name: "sandkeep", Version: "1"},
	}
	if _, err := call(ctx, c, c.handshake(), hello, c.conn.Initialize); err != nil {
		return c.refused("initialize", err)
	}
	fresh := acp.NewSessionRequest{Cwd: c.job.Dir, McpServers: []acp.McpServer{}}
	session, err := call(ctx, c, c.handshake(), fresh, c.conn.NewSession)
	if err != nil {
		return c.refused("session/new", err)
	}
	c.session.Store(&session.SessionId)
	c.feed.options = session.ConfigOptions
	c.feed.models = session.Models
	return nil
}

func (c *conversation) handshake() time.Duration {
	if c.job.Handshake > 0 {
		return c.job.Handshake
	}
	return handshakeTime
}

// chooseModel tells the agent the model, by the way that the agent offers: a configuration option of the category "model",
// or session/set_model. A class that passes $(MODEL) in its arguments has told it already.
func (c *conversation) chooseModel(ctx context.Context) *failure.Failure {
	inArgs := slices.ContainsFunc(c.job.Agent.Args, func(arg string) bool { return strings.Contains(arg, "$(MODEL)") })
	if c.job.Model == "" || inArgs {
		return nil
	}
	var err error
	if option := modelOption(c.feed.options); option != nil {
		choice := acp.SetSessionConfigOptionRequest{ValueId: &acp.SetSessionConfigOptionValueId{
			SessionId: *c.session.Load(), ConfigId: option.Id, Value: acp.SessionConfigValueId(c.job.Model),
		}}
		_, err = call(ctx, c, c.handshake(), choice, c.conn.SetSessionConfigOption)
	} else {
		choice := acp.UnstableSetSessionModelRequest{SessionId: *c.session.Load(), ModelId: acp.UnstableModelId(c.job.Model)}
		_, err = call(ctx, c, c.handshake(), choice, c.conn.UnstableSetSessionModel)
	}
	if err != nil {
		return c.noSuchModel(err)
	}
	return nil
}

func modelOption(options []acp.SessionConfigOption) *acp.SessionConfigOptionSelect {
	for _, option := range options {
		s := option.Select
		if s != nil && (s.Id == "model" || s.Category != nil && *s.Category == acp.SessionConfigOptionCategoryModel) {
			return s
		}
	}
	return nil
}

// noSuchModel tells what the agent answered; a missing method means that the class must pass the model itself.
func (c *conversation) noSuchModel(err error) *failure.Failure {
	var refusal *acp.RequestError
	if errors.As(err, &refusal) && refusal.Code == methodNotFound {
		return failure.New(contract.AgentCrashed, "The agent cannot be told the model over its protocol; name $(MODEL) in agent.args of the SessionClass")
	}
	fault := c.refused("the choice of a model", err)
	if fault != gone && fault.Class == contract.AgentCrashed {
		fault.Message = fmt.Sprintf("The agent does not take the model %q: %s", c.job.Model, c.errorText(err))
		if known := c.feed.knownModels(); known != "" {
			fault.Message += "; it knows " + known
		}
	}
	return fault
}

// JSON-RPC error codes that mean the same with every agent.
const (
	methodNotFound = -32601
	authRequired   = -32000
)

// stopReason judges how a turn ended.
func stopReason(reason acp.StopReason) *failure.Failure {
	switch reason {
	case acp.StopReasonMaxTokens:
		return failure.New(contract.ContextOverflow, "The model's answer was cut off at its limit of tokens; make a new Session with a smaller task or another model")
	case acp.StopReasonMaxTurnRequests:
		return failure.New(contract.AgentCrashed, "The agent gave up at its limit of requests for one turn; make a new Session with a smaller task")
	case acp.StopReasonRefusal:
		return failure.New(contract.AgentCrashed, "The model refused to go on; reword the prompt in a new Session")
	case acp.StopReasonCancelled:
		return failure.New(contract.AgentCrashed, "The agent cancelled its turn by itself")
	default:
		return nil
	}
}

// refused explains a request that failed.
func (c *conversation) refused(what string, err error) *failure.Failure {
	var refusal *acp.RequestError
	switch {
	case errors.Is(err, errUnanswered):
		return failure.New(contract.AgentSilent, "The agent did not answer %s within %s; does agent.command of the SessionClass start an agent that speaks ACP?", what, c.handshake())
	case errors.Is(err, errGone):
		return gone
	case errors.As(err, &refusal) && refusal.Code == authRequired:
		return failure.FromCause(failure.Cause{Types: []string{"authentication_failed"}, Text: c.errorText(err)})
	}
	cause := c.withoutModels(c.causeOf(err))
	if cause.Vague() {
		return c.crash("The agent failed, in its own words: " + cause.Text)
	}
	return failure.FromCause(cause)
}

// withoutModels explains an error that names no cause by what the agent told before: OpenCode offers the models of the
// providers that it has a credential for, and fails in general words when there is none.
func (c *conversation) withoutModels(cause failure.Cause) failure.Cause {
	option := modelOption(c.feed.options)
	if option == nil || option.Options.Ungrouped == nil || len(*option.Options.Ungrouped) > 0 || failure.Classify(cause) != contract.AgentCrashed {
		return cause
	}
	cause.Types = append(cause.Types, "ProviderAuthError")
	cause.Text += " (the agent offers no model, so it has no credential for any provider)"
	return cause
}

// causeOf reads a JSON-RPC error; its data often holds the provider's own. Keys are taken out before the text is cut.
func (c *conversation) causeOf(err error) failure.Cause {
	cause := rawCauseOf(err)
	cause.Text = c.job.Redactor.String(cause.Text)
	return cause
}

func rawCauseOf(err error) failure.Cause {
	var refusal *acp.RequestError
	if !errors.As(err, &refusal) {
		return failure.FromText(err.Error())
	}
	message := strings.TrimPrefix(refusal.Message, "Internal error: ")
	return failure.FromValue(map[string]any{"message": message, "data": refusal.Data})
}

func (c *conversation) errorText(err error) string {
	return contract.OneLine(c.causeOf(err).Text, maxStderr)
}

// explain completes a verdict with what the process's end tells.
func (c *conversation) explain(fault *failure.Failure) *failure.Failure {
	if fault != gone {
		return fault
	}
	if why := c.feed.whyBroken(); why != "" {
		return c.crash(why)
	}
	if judged := c.verdict(); judged != nil {
		return judged
	}
	return c.crash(gone.Message)
}
