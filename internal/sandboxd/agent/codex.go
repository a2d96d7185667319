package agent

import (
	"encoding/json"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// codexLine is a line of `codex exec --json`, as Codex 0.169.0 writes it.
type codexLine struct {
	Type    string          `json:"type"`
	Message string          `json:"message"`
	Error   json.RawMessage `json:"error"`
	Item    codexItem       `json:"item"`
	Usage   struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	} `json:"usage"`
}

// codexItem is something that happened in a turn.
type codexItem struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Text    string `json:"text"`
	Message string `json:"message"`
	Command string `json:"command"`
	Server  string `json:"server"`
	Tool    string `json:"tool"`
	Query   string `json:"query"`
	Status  string `json:"status"`
	Changes []struct {
		Path string `json:"path"`
	} `json:"changes"`
}

func parseCodex(line []byte) ([]event, bool) {
	var l codexLine
	if !decode(line, &l) || l.Type == "" {
		return nil, false
	}
	switch l.Type {
	case "item.started", "item.completed":
		return codexEvents(l.Item, l.Type == "item.completed"), true
	case "turn.completed":
		usage := contract.Usage{Requests: 1, InputTokens: l.Usage.Input, OutputTokens: l.Usage.Output}
		return []event{{kind: finished}, {kind: usedMore, usage: usage}}, true
	case "turn.failed":
		return []event{{kind: lost, cause: failure.FromJSON(l.Error)}}, true
	case "error": // also "Reconnecting... 1/5", which the turn may get over
		return []event{{kind: failed, cause: failure.FromText(l.Message)}}, true
	default: // thread.started, turn.started, item.updated, and whatever later versions add
		return nil, true
	}
}

func codexEvents(item codexItem, completed bool) []event {
	switch item.Type {
	case "agent_message":
		if completed {
			return []event{{kind: said, text: item.Text}, {kind: ended}}
		}
		return nil
	case "reasoning", "todo_list":
		return nil
	case "error":
		return []event{{kind: stray, text: item.Message}}
	default:
		return []event{{kind: called, tool: codexTool(item, completed)}}
	}
}

func codexTool(item codexItem, completed bool) tool {
	t := tool{id: item.ID, kind: item.Type, title: item.Command + item.Query, status: item.Status}
	if item.Tool != "" {
		t.title = item.Server + "/" + item.Tool
	}
	for _, change := range item.Changes {
		t.title += " " + change.Path
	}
	if t.status == "" {
		t.status = statusInProgress
		if completed {
			t.status = statusCompleted
		}
	}
	return t
}
