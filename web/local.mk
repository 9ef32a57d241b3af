# The status page and the API come with their own part; the folder holds the contract they are built on.
