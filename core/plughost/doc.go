// Package plughost keeps connector processes alive: it starts them, opens
// them, watches that they answer, restarts them with growing waits when they
// end or hang, and stops them in good order. One Connector is one instance of
// bridge.toml; between two lives of its process deliveries are told to wait.
//
// It also checks the settings of an instance against the connector's schema.
package plughost
