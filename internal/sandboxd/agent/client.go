package agent

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/coder/acp-go-sdk"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// client is what an agent may ask of us: leave, which the class gives or refuses. Nothing else was offered.
type client struct{ permissions contract.Permissions }

var _ acp.Client = client{}

// RequestPermission answers for this once, because an answer for ever is kept by some agents in the workspace.
func (c client) RequestPermission(_ context.Context, r acp.RequestPermissionRequest) (acp.RequestPermissionResponse, error) {
	wanted := []acp.PermissionOptionKind{acp.PermissionOptionKindRejectOnce, acp.PermissionOptionKindRejectAlways}
	if c.permissions != contract.PermissionsDeny {
		wanted = []acp.PermissionOptionKind{acp.PermissionOptionKindAllowOnce, acp.PermissionOptionKindAllowAlways}
	}
	for _, kind := range wanted {
		i := slices.IndexFunc(r.Options, func(o acp.PermissionOption) bool { return o.Kind == kind })
		if i >= 0 {
			return acp.RequestPermissionResponse{Outcome: acp.NewRequestPermissionOutcomeSelected(r.Options[i].OptionId)}, nil
		}
	}
	return acp.RequestPermissionResponse{Outcome: acp.NewRequestPermissionOutcomeCancelled()}, nil
}

// SessionUpdate is never called: feed takes updates out before the library sees them.
func (client) SessionUpdate(context.Context, acp.SessionNotification) error { return nil }

// ReadTextFile was not offered.
func (client) ReadTextFile(context.Context, acp.ReadTextFileRequest) (acp.ReadTextFileResponse, error) {
	return acp.ReadTextFileResponse{}, acp.NewMethodNotFound(acp.ClientMethodFsReadTextFile)
}

// WriteTextFile was not offered.
func (client) WriteTextFile(context.Context, acp.WriteTextFileRequest) (acp.WriteTextFileResponse, error) {
	return acp.WriteTextFileResponse{}, acp.NewMethodNotFound(acp.ClientMethodFsWriteTextFile)
}

// CreateTerminal was not offered.
func (client) CreateTerminal(context.Context, acp.CreateTerminalRequest) (acp.CreateTerminalResponse, error) {
	return acp.CreateTerminalResponse{}, acp.NewMethodNotFound(acp.ClientMethodTerminalCreate)
}

// KillTerminal was not offered.
func (client) KillTerminal(context.Context, acp.KillTerminalRequest) (acp.KillTerminalResponse, error) {
	return acp.KillTerminalResponse{}, acp.NewMethodNotFound(acp.ClientMethodTerminalKill)
}

// TerminalOutput was not offered.
func (client) TerminalOutput(context.Context, acp.TerminalOutputRequest) (acp.TerminalOutputResponse, error) {
	return acp.TerminalOutputResponse{}, acp.NewMethodNotFound(acp.ClientMethodTerminalOutput)
}

// ReleaseTerminal was not offered.
func (client) ReleaseTerminal(context.Context, acp.ReleaseTerminalRequest) (acp.ReleaseTerminalResponse, error) {
	return acp.ReleaseTerminalResponse{}, acp.NewMethodNotFound(acp.ClientMethodTerminalRelease)
}

// WaitForTerminalExit was not offered.
func (client) WaitForTerminalExit(context.Context, acp.WaitForTerminalExitRequest) (acp.WaitForTerminalExitResponse, error) {
	return acp.WaitForTerminalExitResponse{}, acp.NewMethodNotFound(acp.ClientMethodTerminalWaitForExit)
}

// updateEvents reads the parameters of session/update. Kinds that are not known, and the agent's thoughts, are no events.
func updateEvents(params json.RawMessage) []event {
	var n acp.SessionNotification
	if json.Unmarshal(params, &n) != nil {
		return nil
	}
	switch u := n.Update; {
	case u.AgentMessageChunk != nil && u.AgentMessageChunk.Content.Text != nil:
		chunk := u.AgentMessageChunk
		return []event{{kind: said, text: chunk.Content.Text.Text, message: text(chunk.MessageId)}}
	case u.ToolCall != nil:
		t := u.ToolCall
		return []event{{kind: called, tool: tool{string(t.ToolCallId), string(t.Kind), t.Title, string(t.Status)}}}
	case u.ToolCallUpdate != nil:
		t := u.ToolCallUpdate
		return []event{{kind: called, tool: tool{string(t.ToolCallId), text(t.Kind), text(t.Title), text(t.Status)}}}
	default:
		return nil
	}
}

func text[T ~string](value *T) string {
	if value == nil {
		return ""
	}
	return string(*value)
}
