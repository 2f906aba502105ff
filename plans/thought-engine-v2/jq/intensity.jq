# An emotion of the first version in the bounds of the next one: no intensity above 1.
if type == "object" and (.intensity | type) == "number" and .intensity > 1
then .intensity_felt = .intensity | .intensity = 1
else .
end
