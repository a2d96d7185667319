package v1alpha1

// Namespaces of Sandkeep.
const (
	// NamespaceSystem is where the programs run.
	NamespaceSystem = "sandkeep-system"
	// NamespaceKeys holds what is put on requests: API keys and access tokens. The gateway and the keeper read it.
	NamespaceKeys = "sandkeep-keys"
	// NamespaceVault holds what renews that. Only the keeper reads it.
	NamespaceVault = "sandkeep-vault"
)

// Labels, annotations, finalizers and field owners of Sandkeep: every one of them is in this file.
const (
	// LabelSession is on everything that was made for a Session and holds its name.
	LabelSession = "sandkeep.dev/session"
	// LabelRun is on pods and ConfigMaps of one run and holds its number.
	LabelRun = "sandkeep.dev/run"
	// LabelClass is on sandbox pods and holds the name of the SessionClass.
	LabelClass = "sandkeep.dev/class"
	// LabelManagedBy and LabelComponent are the common labels of Kubernetes, with the values ManagedBy and ComponentSandbox.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelComponent = "app.kubernetes.io/component"

	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "sandkeep"
	// ComponentSandbox is the value of LabelComponent.
	ComponentSandbox = "sandbox"

	// LabelObservations is on ConfigMaps of NamespaceSystem in which replicas of the gateway tell the keeper of credentials. Its value does not matter.
	LabelObservations = "sandkeep.dev/observations"

	// LabelPulse is on Leases of NamespaceSystem by which replicas of the gateway know how old their watches are. Its value does not matter.
	LabelPulse = "sandkeep.dev/pulse"

	// LabelLimits is on ConfigMaps of NamespaceSystem in which the gateway counts what credentials with limits were used for. Its value does not matter.
	LabelLimits = "sandkeep.dev/limits"

	// AnnotationDefaultClass with the value "true" makes a SessionClass the one that Sessions without a className use.
	AnnotationDefaultClass = "sandkeep.dev/is-default-class"

	// AnnotationRecipe is on sandbox pods and identifies what they were made from. A pod that cannot start is replaced when
	// that has changed.
	AnnotationRecipe = "sandkeep.dev/recipe"

	// FinalizerResult keeps an ended sandbox pod until its result is in the status of its Session.
	FinalizerResult = "sandkeep.dev/result"

	// LabelAccessPrefix begins the labels of namespaces by which a ClusterCredential may choose them.
	LabelAccessPrefix = "access.sandkeep.dev/"

	// SecretTypeAPIKey is the type of Secrets in NamespaceKeys that hold API keys.
	SecretTypeAPIKey = "sandkeep.dev/api-key"
	// SecretTypeCertificate is the type of the Secret in NamespaceKeys that holds the gateway's certificate, as tls.crt and tls.key. It is no
	// kubernetes.io/tls, since nothing but types of ours may be in that namespace.
	SecretTypeCertificate = "sandkeep.dev/certificate"

	// FieldOwnerManager is the field manager of everything that the manager applies.
	FieldOwnerManager = "sandkeep-manager"
	// FieldOwnerGateway is the field manager of what the gateway writes into the status of Sessions.
	FieldOwnerGateway = "sandkeep-gateway"
	// FieldOwnerKeeper is the field manager of everything that the keeper applies.
	FieldOwnerKeeper = "sandkeep-keeper"

	// TokenAudience is the audience of the tokens by which pods prove to the gateway who they are.
	TokenAudience = "sandkeep-gateway"
)
