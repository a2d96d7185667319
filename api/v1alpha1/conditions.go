package v1alpha1

// Condition types. A Session has all of them at all times, but Reconciling and Stalled, which are present only while true.
const (
	// ConditionReady is True while the observed state is what the spec asks for: at work, suspended on request, or succeeded.
	ConditionReady = "Ready"
	// ConditionCredentialsResolved is True once every credential that a Session needs was found and its key could be delivered.
	ConditionCredentialsResolved = "CredentialsResolved"
	// ConditionNetworkIsolated says whether the sandbox was seen to reach only what it may.
	ConditionNetworkIsolated = "NetworkIsolated"
	// ConditionSandboxReady is True while the agent is at work in its pod.
	ConditionSandboxReady = "SandboxReady"
	// ConditionSuspended is True once a Session has no pod because spec.suspend asks for that.
	ConditionSuspended = "Suspended"
	// ConditionSucceeded is True after a success with evidence, False after a final failure, Unknown before the end.
	ConditionSucceeded = "Succeeded"
	// ConditionFinished is True once a Session has ended either way.
	ConditionFinished = "Finished"
	// ConditionWithinLimits is on credentials that have limits: False for a while after one of them was reached.
	ConditionWithinLimits = "WithinLimits"
	// ConditionReconciling is kstatus's: present and True while work is under way that ends by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is kstatus's: present and True once nothing will change without somebody's help.
	ConditionStalled = "Stalled"
)

// Reasons of conditions that wait for somebody or something.
const (
	// ReasonClassNotFound surfaces when the class does not exist, or none is named and no class is the default.
	ReasonClassNotFound = "ClassNotFound"
	// ReasonClassNotReady surfaces when the class exists and its own Ready condition is False.
	ReasonClassNotReady = "ClassNotReady"
	// ReasonClassNotAllowed surfaces when the owner of the Session may not use its class.
	ReasonClassNotAllowed = "ClassNotAllowed"
	// ReasonProviderNotFound surfaces when an APIProvider that a class or credential names does not exist.
	ReasonProviderNotFound = "ProviderNotFound"
	// ReasonProviderNotReady surfaces when an APIProvider exists and its own Ready condition is False.
	ReasonProviderNotReady = "ProviderNotReady"
	// ReasonCredentialNotFound surfaces when no credential opens a provider that the Session needs.
	ReasonCredentialNotFound = "CredentialNotFound"
	// ReasonCredentialNotReady surfaces when the credential exists but is not usable: it is not accepted, or its Secret or
	// the key in it is missing.
	ReasonCredentialNotReady = "CredentialNotReady"
	// ReasonCredentialNotAllowed surfaces when the credential does not permit what the class asks for, does not allow the namespace of the
	// Session, or may not be used by its owner.
	ReasonCredentialNotAllowed = "CredentialNotAllowed"
	// ReasonNameConflict surfaces when an object that is not this Session's has a name that the Session needs.
	ReasonNameConflict = "NameConflict"
	// ReasonPodRejected surfaces when the API server refused the pod: quota, LimitRange, Pod Security, a webhook.
	ReasonPodRejected = "PodRejected"
	// ReasonGatewayNotReady surfaces when a class delivers keys by Proxy and the gateway has not published its certificates yet.
	ReasonGatewayNotReady = "GatewayNotReady"
	// ReasonNodeUnreachable surfaces when a pod should end but its node does not answer; there is no force delete.
	ReasonNodeUnreachable = "NodeUnreachable"
	// ReasonImagePullFailed surfaces while the kubelet cannot pull an image; it keeps trying.
	ReasonImagePullFailed = "ImagePullFailed"
)

// Reasons of conditions that describe the way of a Session.
const (
	// ReasonStarting surfaces from the creation of the pod until the agent is at work.
	ReasonStarting = "Starting"
	// ReasonRunning surfaces while the agent is at work.
	ReasonRunning = "Running"
	// ReasonSuspending surfaces while the pod of a Session with spec.suspend ends.
	ReasonSuspending = "Suspending"
	// ReasonSuspended surfaces on Ready once a Session with spec.suspend has no live pod.
	ReasonSuspended = "Suspended"
	// ReasonRequested surfaces on Suspended when spec.suspend asked for it.
	ReasonRequested = "Requested"
	// ReasonNotSuspended surfaces on Suspended otherwise.
	ReasonNotSuspended = "NotSuspended"
	// ReasonTerminating surfaces while a pod that was deleted ends, and while the Session itself is being deleted.
	ReasonTerminating = "Terminating"
	// ReasonSucceeded surfaces after a success with evidence of work.
	ReasonSucceeded = "Succeeded"
	// ReasonNotFinished surfaces on Succeeded and Finished before the end.
	ReasonNotFinished = "NotFinished"
	// ReasonResolved surfaces on CredentialsResolved when the credentials of the Session are known.
	ReasonResolved = "Resolved"
	// ReasonNotResolved surfaces on CredentialsResolved before anything was looked up.
	ReasonNotResolved = "NotResolved"
	// ReasonNoSandbox surfaces on SandboxReady while there is no live pod.
	ReasonNoSandbox = "NoSandbox"
	// ReasonNotVerified surfaces on NetworkIsolated while nothing has verified isolation.
	ReasonNotVerified = "NotVerified"
	// ReasonRetrying surfaces on Reconciling between a retryable failure and the next run.
	ReasonRetrying = "Retrying"
)

// Reasons of a spec that can never work.
const (
	// ReasonInvalidForClass surfaces when a Session asks for more than its class permits.
	ReasonInvalidForClass = "InvalidForClass"
	// ReasonInvalidTemplate surfaces on a SessionClass whose podTemplate cannot become a sandbox.
	ReasonInvalidTemplate = "InvalidTemplate"
	// ReasonInvalidEndpoint surfaces on an APIProvider with an endpoint whose caBundle has no certificate that can be read.
	ReasonInvalidEndpoint = "InvalidEndpoint"
)

// Reasons of SessionClass, APIProvider, Credential and ClusterCredential.
const (
	// ReasonAccepted surfaces on Ready when the object is well-formed and what it refers to is known.
	ReasonAccepted = "Accepted"
	// ReasonSecretNotFound surfaces when the Secret of a credential, or the key in it, does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretNotReadable surfaces when an admin has not permitted the gateway to read the Secret of a Credential, or the gateway has not looked there yet.
	ReasonSecretNotReadable = "SecretNotReadable"
	// ReasonKeyMalformed surfaces when what the Secret holds cannot be a key: it is empty, or has blanks or a newline in it.
	ReasonKeyMalformed = "KeyMalformed"
	// ReasonTokenKindDenied surfaces when the APIProvider does not permit keys of this kind.
	ReasonTokenKindDenied = "TokenKindDenied"
	// ReasonSubscriptionTokenRefused surfaces when the key is a token of a person's own subscription, which the APIProvider does not permit.
	ReasonSubscriptionTokenRefused = "SubscriptionTokenRefused"
	// ReasonEndpointsChanged surfaces when the APIProvider names a host that the credential was not made for.
	ReasonEndpointsChanged = "EndpointsChanged"
	// ReasonKeyRejected surfaces when the provider refused the key twice; it goes when a request is accepted or the key changes.
	ReasonKeyRejected = "KeyRejected"
	// ReasonRateLimited surfaces while the provider asks for patience.
	ReasonRateLimited = "RateLimited"
	// ReasonKeyEchoed is the reason of the event that tells of a provider whose answer held the key that it was asked with.
	ReasonKeyEchoed = "KeyEchoed"
	// ReasonWithinLimits is the reason of WithinLimits while no limit was reached lately.
	ReasonWithinLimits = "WithinLimits"
	// ReasonLimitReached surfaces on a credential, and in an event of the Session, when a request was refused because a limit left no room for it.
	ReasonLimitReached = "LimitReached"
	// ReasonCredentialPassedOver is the reason of the event that tells of a Session that uses an admin's credential, since its namespace's own cannot be
	// used and its class permits that.
	ReasonCredentialPassedOver = "CredentialPassedOver"
	// ReasonQuotaExhausted surfaces when the provider says that the account has no credit.
	ReasonQuotaExhausted = "QuotaExhausted"
)

// Failure classes: the values of status.failure.class, and reasons of Ready and Succeeded after a failure.
const (
	// FailureCloneFailed is a repository that could not be cloned. Retried.
	FailureCloneFailed = "CloneFailed"
	// FailureAgentCrashed is an agent that ended with an error of its own, or could not be started. Retried.
	FailureAgentCrashed = "AgentCrashed"
	// FailureAgentSilent is an agent that ended well, or went silent, with no evidence of work. Final.
	FailureAgentSilent = "AgentSilent"
	// FailureProviderAuthenticationFailed is a key that the provider refused. The Session waits for a better one and tries
	// again; that does not count against backoffLimit.
	FailureProviderAuthenticationFailed = "ProviderAuthenticationFailed"
	// FailureProviderRateLimited is a provider that asked for patience. Retried after the time it named.
	FailureProviderRateLimited = "ProviderRateLimited"
	// FailureProviderQuotaExhausted is an account without credit. Final.
	FailureProviderQuotaExhausted = "ProviderQuotaExhausted"
	// FailureProviderUnavailable is a provider that is overloaded, down, or cuts its answers. Retried.
	FailureProviderUnavailable = "ProviderUnavailable"
	// FailureContextOverflow is a conversation that outgrew the model. Final.
	FailureContextOverflow = "ContextOverflow"
	// FailureOutOfMemory is a sandbox that needed more memory than its limit. Final.
	FailureOutOfMemory = "OutOfMemory"
	// FailureEvicted is a pod that the kubelet evicted. Retried.
	FailureEvicted = "Evicted"
	// FailureNodeLost is a pod that was deleted, drained, preempted or lost with its node. Retried, not counted.
	FailureNodeLost = "NodeLost"
	// FailureResultLost is a pod that ended or vanished without a result. Run again only if nothing can have been pushed.
	FailureResultLost = "ResultLost"
	// FailureDeadlineExceeded is a Session that outlived activeDeadlineSeconds. Final.
	FailureDeadlineExceeded = "DeadlineExceeded"
	// FailurePushRejected is a branch that the git server did not take. Final.
	FailurePushRejected = "PushRejected"
	// FailureStopped is a run that was asked to stop before its end.
	FailureStopped = "Stopped"
)
