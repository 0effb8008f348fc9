"""The methods of the services, by their names in the contract."""
