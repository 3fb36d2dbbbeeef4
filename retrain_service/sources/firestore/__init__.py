"""Read a Firestore collection."""
