package agenttest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/coder/acp-go-sdk"
)

// acpAgent speaks the Agent Client Protocol through the library's agent side.
func acpAgent() int {
	a := &speaker{done: make(chan int, 1), cancelled: make(chan struct{})}
	input, gate := io.Pipe()
	a.conn = acp.NewAgentSideConnection(a, os.Stdout, input)
	go func() { // nothing is read before conn is set
		_, err := io.Copy(gate, os.Stdin)
		_ = gate.CloseWithError(err)
	}()
	select {
	case code := <-a.done:
		return code
	case <-a.conn.Done():
		return 0
	}
}

type speaker struct {
	conn      *acp.AgentSideConnection
	session   acp.SessionId
	done      chan int
	model     string
	once      sync.Once
	cancelled chan struct{}
	answer    acp.PromptResponse
	refusal   error
	calls     int
}

func (a *speaker) update(u acp.SessionUpdate) {
	must(a.conn.SessionUpdate(context.Background(), acp.SessionNotification{SessionId: a.session, Update: u}))
}

func (a *speaker) say(text string)   { a.update(acp.UpdateAgentMessageText(text + "\n")) }
func (a *speaker) chunk(text string) { a.update(acp.UpdateAgentMessageText(text)) }
func (a *speaker) tool(title string) {
	a.calls++
	id := acp.ToolCallId(fmt.Sprint("call-", a.calls))
	a.update(acp.StartToolCall(id, title, acp.WithStartKind(acp.ToolKindExecute), acp.WithStartStatus(acp.ToolCallStatusPending)))
	a.update(acp.UpdateToolCall(id, acp.WithUpdateStatus(acp.ToolCallStatusCompleted)))
}

// extra are the steps that need the protocol.
func (a *speaker) extra(verb, rest string) error {
	switch verb {
	case "think":
		a.update(acp.UpdateAgentThoughtText(rest))
	case "user":
		a.update(acp.UpdateUserMessageText(rest))
	case "model":
		a.say("model=" + a.model)
	case "permission":
		return a.askLeave()
	case "usage":
		var u acp.Usage
		a.answer.Usage = &u
		return json.Unmarshal([]byte(rest), &u)
	case "stop":
		a.answer.StopReason = acp.StopReason(rest)
	case "refuse":
		var refusal acp.RequestError
		a.refusal = &refusal
		return json.Unmarshal([]byte(rest), &refusal)
	case "await-cancel":
		<-a.cancelled
		a.say("cancelled")
		a.answer.StopReason = acp.StopReasonCancelled
	default:
		return errors.New("no step " + verb)
	}
	return nil
}

func (a *speaker) askLeave() error {
	title := "rm -rf"
	answer, err := a.conn.RequestPermission(context.Background(), acp.RequestPermissionRequest{
		SessionId: a.session,
		ToolCall:  acp.ToolCallUpdate{ToolCallId: "leave", Title: &title},
		Options: []acp.PermissionOption{
			{Kind: acp.PermissionOptionKindAllowAlways, Name: "always", OptionId: "always"},
			{Kind: acp.PermissionOptionKindAllowOnce, Name: "once", OptionId: "once"},
			{Kind: acp.PermissionOptionKindRejectOnce, Name: "no", OptionId: "no"},
		},
	})
	if err == nil && answer.Outcome.Selected != nil {
		a.say("leave: " + string(answer.Outcome.Selected.OptionId))
	}
	return err
}

// Initialize is part of acp.Agent, as are the methods below.
func (a *speaker) Initialize(_ context.Context, r acp.InitializeRequest) (acp.InitializeResponse, error) {
	if r.ClientCapabilities.Fs.ReadTextFile || r.ClientCapabilities.Fs.WriteTextFile || r.ClientCapabilities.Terminal {
		fail("the client offers what it has not")
	}
	return acp.InitializeResponse{ProtocolVersion: acp.ProtocolVersionNumber, AuthMethods: []acp.AuthMethod{}}, nil
}

// NewSession offers two models, one of which does not exist after all.
func (a *speaker) NewSession(_ context.Context, r acp.NewSessionRequest) (acp.NewSessionResponse, error) {
	a.session = "session-1"
	must(os.Chdir(r.Cwd))
	category := acp.SessionConfigOptionCategoryModel
	return acp.NewSessionResponse{SessionId: a.session, ConfigOptions: []acp.SessionConfigOption{{
		Select: &acp.SessionConfigOptionSelect{
			Id: "the-model", Name: "Model", Type: "select", Category: &category, CurrentValue: "small",
			Options: acp.SessionConfigSelectOptions{Ungrouped: &acp.SessionConfigSelectOptionsUngrouped{
				{Name: "Small", Value: "small"}, {Name: "Large", Value: "large"},
			}},
		},
	}}}, nil
}

// SetSessionConfigOption knows the model "large".
func (a *speaker) SetSessionConfigOption(_ context.Context, r acp.SetSessionConfigOptionRequest) (acp.SetSessionConfigOptionResponse, error) {
	if r.ValueId == nil || r.ValueId.ConfigId != "the-model" || r.ValueId.Value != "large" {
		return acp.SetSessionConfigOptionResponse{}, acp.NewInvalidParams("model not found")
	}
	a.model = string(r.ValueId.Value)
	return acp.SetSessionConfigOptionResponse{ConfigOptions: []acp.SessionConfigOption{}}, nil
}

// Prompt plays the script.
func (a *speaker) Prompt(_ context.Context, r acp.PromptRequest) (acp.PromptResponse, error) {
	a.answer.StopReason = acp.StopReasonEndTurn
	var script strings.Builder
	for _, block := range r.Prompt {
		if block.Text != nil {
			script.WriteString(block.Text.Text)
		}
	}
	code := play(script.String(), a)
	if code != 0 || strings.Contains(script.String(), "\nexit 0") {
		a.done <- code
		forever()
	}
	return a.answer, a.refusal
}

// Cancel ends the step await-cancel.
func (a *speaker) Cancel(context.Context, acp.CancelNotification) error {
	a.once.Do(func() { close(a.cancelled) })
	return nil
}

// Authenticate is not needed.
func (a *speaker) Authenticate(context.Context, acp.AuthenticateRequest) (acp.AuthenticateResponse, error) {
	return acp.AuthenticateResponse{}, nil
}

// CloseSession is not offered.
func (a *speaker) CloseSession(context.Context, acp.CloseSessionRequest) (acp.CloseSessionResponse, error) {
	return acp.CloseSessionResponse{}, acp.NewMethodNotFound("session/close")
}

// ListSessions is not offered.
func (a *speaker) ListSessions(context.Context, acp.ListSessionsRequest) (acp.ListSessionsResponse, error) {
	return acp.ListSessionsResponse{}, acp.NewMethodNotFound("session/list")
}

// ResumeSession is not offered.
func (a *speaker) ResumeSession(context.Context, acp.ResumeSessionRequest) (acp.ResumeSessionResponse, error) {
	return acp.ResumeSessionResponse{}, acp.NewMethodNotFound("session/resume")
}

// SetSessionMode is not offered.
func (a *speaker) SetSessionMode(context.Context, acp.SetSessionModeRequest) (acp.SetSessionModeResponse, error) {
	return acp.SetSessionModeResponse{}, acp.NewMethodNotFound("session/set_mode")
}
