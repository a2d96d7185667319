package agent

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// killedCode is how a shell tells that its program was killed by SIGKILL.
const killedCode = 128 + int(syscall.SIGKILL)

func stopped() *failure.Failure {
	return failure.New(contract.Stopped, "The sandbox was asked to stop before the agent was done")
}

func (r *running) tooSilent() *failure.Failure {
	return failure.New(contract.AgentSilent, "The agent gave no sign of life for %s and was ended; the session's log shows how far it came", r.job.Silence)
}

// verdict is how the agent's end is judged once it has ended by itself: nil when it claims success.
func (r *running) verdict() *failure.Failure {
	code, signal := r.proc.Exit()
	killed := signal == syscall.SIGKILL || code == killedCode
	cause := r.record.reported()
	switch {
	case killed && r.job.oomKills() > r.oomAtGo:
		return failure.New(contract.OutOfMemory, "The agent was killed because the sandbox ran out of memory; raise the memory limit in spec.resources or in the class")
	case !cause.Empty() && cause.Vague() && failure.Classify(cause) == contract.AgentCrashed:
		return r.crash("The agent failed, in its own words: " + cause.Text)
	case !cause.Empty():
		return failure.FromCause(cause)
	case signal != 0:
		return r.crash(fmt.Sprintf("The agent was killed by signal %d (%s)", signal, signal))
	case code != 0:
		return r.crash(fmt.Sprintf("The agent ended with exit code %d", code))
	default:
		return nil
	}
}

// crash is a failure that the agent did not explain in its protocol; its last words may.
func (r *running) crash(what string) *failure.Failure {
	words := r.lastWords()
	if f := failure.FromCause(failure.FromOutput(words)); f.Class != contract.AgentCrashed {
		return f
	}
	if words == "" {
		return failure.New(contract.AgentCrashed, "%s and said nothing about it", what)
	}
	return failure.New(contract.AgentCrashed, "%s: %s", what, contract.OneLine(words, maxStderr))
}

// lastWords is the end of standard error or, failing that, of what was printed outside the promised format or as text.
func (r *running) lastWords() string {
	r.errMu.Lock()
	words := strings.TrimSpace(r.errTail.String())
	r.errMu.Unlock()
	if words != "" {
		return words
	}
	return r.record.remains()
}
