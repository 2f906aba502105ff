-- As a newer application leaves it: nobody here knows what it did.
PRAGMA user_version = 3;
