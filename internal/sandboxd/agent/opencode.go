package agent

import (
	"encoding/json"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// openCodeLine is a line of `opencode run --format json`, as OpenCode 1.18.33 writes it.
type openCodeLine struct {
	Type  string          `json:"type"`
	Error json.RawMessage `json:"error"`
	Part  struct {
		Text   string `json:"text"`
		Tool   string `json:"tool"`
		CallID string `json:"callID"`
		State  struct {
			Status string          `json:"status"`
			Title  string          `json:"title"`
			Input  json.RawMessage `json:"input"`
		} `json:"state"`
		Tokens struct {
			Input, Output int64
			Cache         struct{ Read, Write int64 }
		} `json:"tokens"`
	} `json:"part"`
}

func parseOpenCode(line []byte) ([]event, bool) {
	var l openCodeLine
	if !decode(line, &l) || l.Type == "" {
		return nil, false
	}
	switch l.Type {
	case "text":
		return []event{{kind: said, text: l.Part.Text}, {kind: ended}}, true
	case "tool_use":
		return []event{{kind: called, tool: openCodeTool(l)}}, true
	case "step_finish":
		return []event{{kind: finished}, {kind: usedMore, usage: openCodeUsage(l)}}, true
	case "error":
		return []event{{kind: failed, cause: failure.FromJSON(l.Error)}}, true
	default: // step_start, reasoning, and whatever later versions add
		return nil, true
	}
}

func openCodeTool(l openCodeLine) tool {
	state := l.Part.State
	t := tool{id: l.Part.CallID, kind: l.Part.Tool, title: state.Title, status: state.Status}
	if t.title == "" {
		t.title = title(state.Input)
	}
	if t.status == "error" {
		t.status = statusFailed
	}
	return t
}

func openCodeUsage(l openCodeLine) contract.Usage {
	t := l.Part.Tokens
	return contract.Usage{Requests: 1, InputTokens: t.Input + t.Cache.Read + t.Cache.Write, OutputTokens: t.Output}
}
