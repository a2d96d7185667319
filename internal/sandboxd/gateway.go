package sandboxd

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/door"
	"github.com/sandkeep/sandkeep/internal/sandboxd/environment"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// openDoor opens the agent's way to its providers, in a run that has one.
func (r *run) openDoor(ctx context.Context) *failure.Failure {
	if r.config.Gateway == nil {
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", r.Dirs.Door)
	if err != nil {
		return failure.New(contract.AgentCrashed, "No agent was started, because its way to the gateway cannot be opened: %v", err)
	}
	r.door, err = door.Open(listener, door.Options{
		Gateway: *r.config.Gateway, Providers: r.throughGateway(),
		TokenFile: filepath.Join(r.Dirs.Gateway, contract.GatewayTokenFile),
		Now:       r.Now, Note: r.transcript.Note,
	})
	if err != nil {
		return failure.New(contract.AgentCrashed, "No agent was started, because its way to the gateway cannot be opened: %v", err)
	}
	return nil
}

// throughGateway are the providers whose keys stay in the gateway.
func (r *run) throughGateway() []string {
	var providers []string
	for _, c := range r.config.Credentials {
		if c.Delivery == contract.DeliveryProxy {
			providers = append(providers, c.Provider)
		}
	}
	return providers
}

// place is where the agent finds itself and its door.
func (r *run) place() environment.Place {
	place := environment.Place{Home: r.Dirs.Home, Workspace: r.Dirs.Workspace, Door: r.Dirs.Door}
	if r.door != nil {
		place.Door = r.door.Address()
	}
	return place
}

// shutDoor is called when the agent has ended: what it may have left behind reaches no provider.
func (r *run) shutDoor() {
	if r.door != nil {
		r.door.Shut()
	}
}

// afterGateway corrects a verdict by what the gateway knows. An agent's word is not enough for success where all its providers are behind
// the gateway: one of them must have accepted something. And agents swallow errors: where one only crashed or was silent, the last
// failure of its providers is the cause.
func (r *run) afterGateway(fault *failure.Failure) *failure.Failure {
	if r.door == nil {
		return fault
	}
	all := len(r.config.Credentials) > 0 && len(r.throughGateway()) == len(r.config.Credentials)
	if fault == nil && all && r.door.Accepted() == 0 {
		fault = failure.New(contract.AgentSilent, "The agent ended as if it were done, but no provider has accepted a request of it; check that it uses the provider's address from its environment, and see the session's log")
	}
	return withCause(fault, r.door.LastFailure())
}

// withCause is the agent's failure as the gateway explains it.
func withCause(agents, gateways *failure.Failure) *failure.Failure {
	switch {
	case agents == nil || gateways == nil:
		return agents
	case agents.Class == contract.AgentCrashed, agents.Class == contract.AgentSilent:
		message := gateways.Message + "; of the agent: " + agents.Message
		if strings.Contains(agents.Message, gateways.Message) {
			message = agents.Message // it only repeats what it was told
		}
		return &failure.Failure{Class: gateways.Class, Message: message, RetryAfter: gateways.RetryAfter}
	case agents.Class == gateways.Class && agents.RetryAfter == 0:
		return &failure.Failure{Class: agents.Class, Message: agents.Message, RetryAfter: gateways.RetryAfter}
	default:
		return agents
	}
}

// closeDoor gives the gateway the report, which the termination message holds already: a gateway that does not take it is no reason to
// fail. Once a stop was asked for, this may take half of what the grace period has left for it.
func (r *run) closeDoor(ctx context.Context, report contract.Report) {
	if r.door == nil {
		return
	}
	defer r.door.Close()
	data, err := report.Encode(r.limit)
	if err != nil {
		return // write has told
	}
	bounded, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	grace := r.config.GracePeriod.Duration()
	context.AfterFunc(ctx, func() { time.AfterFunc((grace-r.stopTime())/2, cancel) })
	if err := r.door.Report(bounded, data); err != nil {
		r.transcript.Note("The gateway did not take the report, which is in the pod's termination message as well: %v", err)
	}
}
