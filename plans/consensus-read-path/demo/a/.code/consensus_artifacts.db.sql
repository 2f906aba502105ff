-- As the application leaves it that has never heard of versions.
PRAGMA user_version = 0;
