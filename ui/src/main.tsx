document.title = "Headrace";
