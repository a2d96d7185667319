package sandboxd

import (
	"os"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/transcript"
)

// fallbackLimit is the most that a report may have while it is not known what the manager allows: what the kubelet takes
// at the most from each of five containers.
const fallbackLimit = 2048

// cutShort is the message of the report that is left behind from the start, for the case that nothing else can be written:
// the sandbox's memory ran out, or its node went away.
const cutShort = "The sandbox ended before it could report how the agent's work ended"

// Bounds of the texts in a report, before it is fitted into its limit.
const (
	maxMessage = 2 << 10
	maxSummary = 4 << 10
)

// failed is a report of a failure.
func (r *run) failed(class contract.FailureClass, message string) contract.Report {
	return contract.Report{
		Outcome: contract.OutcomeFailed, Class: class, PushStarted: r.pushStarted,
		Message: contract.OneLine(r.clean(message), maxMessage),
	}
}

// interim is the report that is left behind while the run goes on.
func (r *run) interim() contract.Report {
	report := r.failed(contract.AgentCrashed, cutShort)
	report.Interim, report.AgentStarted = true, r.agentStarted
	return report
}

// clean takes control sequences out of a text before it looks for keys, which could hide behind them.
func (r *run) clean(text string) string { return r.redactor.String(transcript.Printable(text)) }

// ownWords are the agent's words as they may go into a report.
func (r *run) ownWords(text string) string {
	if r.config.ReportText == contract.ReportTextNone {
		return ""
	}
	return contract.Clean(r.clean(text), maxSummary)
}

// leaveInterim writes over the interim report what has become known since.
func (r *run) leaveInterim() {
	if err := r.write(r.interim()); err != nil {
		r.transcript.Note("The report cannot be written: %v", err)
	}
}

// write leaves a report behind. The file is the kubelet's, mounted by itself, so it is written over and not replaced.
func (r *run) write(report contract.Report) error {
	data, err := report.Encode(r.limit)
	if err != nil {
		return err
	}
	return os.WriteFile(r.Dirs.TerminationLog, data, 0o644)
}
